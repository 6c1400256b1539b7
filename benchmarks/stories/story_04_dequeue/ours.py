import hashlib
import json
import os
import sys
import tempfile
import time
from datetime import timedelta

os.environ["BURSAR_HOME"] = tempfile.mkdtemp(prefix="bursar-story-")
from bursar.cli import bootstrap

bootstrap.start()
from bursar import group_commit
from bursar.queue import jobs

task = json.loads(sys.argv[1])
wait, now = group_commit.commits.run_blocking, jobs.database_time()
for first in range(0, task["length"], 10_000):
    numbers = range(first, min(first + 10_000, task["length"]))
    wait(lambda: [jobs.enqueue("pack", {"id": f"order-{n:07}"}, now=now) for n in numbers])

taken = []
began = time.perf_counter()
while len(taken) < task["taken"]:  # as a worker does: claim some, work, acknowledge them
    count = min(100, task["taken"] - len(taken))
    token, lease = f"claim-{len(taken)}", timedelta(minutes=1)
    claimed = wait(lambda: jobs.claim(count=count, token=token, lease=lease, now=now))
    taken += [job.payload["id"] for job in claimed]
    wait(lambda: [jobs.ack(job) for job in claimed])
seconds = time.perf_counter() - began

answer = hashlib.sha256("".join(taken).encode()).hexdigest()
figures = {"dequeue, us": 1e6 * seconds / task["taken"], "drain, s": seconds}
bootstrap.stop()
print(json.dumps({"answer": answer, "figures": figures}))
