import hashlib
import json
import sys
import time

task = json.loads(sys.argv[1])
queue = [f"order-{number:07}" for number in range(task["length"])]
ranked = queue[: 100 * (task["length"] // 100)]

taken = []
began = time.perf_counter()
for _ in range(task["taken"]):
    taken.append(queue.pop(0))
seconds = time.perf_counter() - began

began = time.perf_counter()
for number in range(100):  # the same as a queue with priorities: sorted after each arrival
    ranked.append(f"order-{number:07}")
    ranked.sort()
    ranked.pop(0)
ranked_seconds = time.perf_counter() - began

answer = hashlib.sha256("".join(taken).encode()).hexdigest()
figures = {
    "dequeue, us": 1e6 * seconds / task["taken"],
    "drain, s": seconds,
    "sorted list, us": 1e6 * ranked_seconds / 100,
}
print(json.dumps({"answer": answer, "figures": figures}))
