import json
import sys
import time

from benchmarks.stories.story_04_counting.orders import arriving, tell

task = json.loads(sys.argv[1])
orders = list(arriving(task))
counts, groups, seen = {}, {}, {}
began = time.perf_counter()
for number, state, day in orders:
    if seen.get(number, 0) > 0:
        continue
    seen[number] = seen.get(number, 0) + 1
    counts[state] = counts.get(state, 0) + 1
    key = state + "/" + str(day)
    if key not in groups:
        groups[key] = []
    groups[key].append(number)
seconds = time.perf_counter() - began
named = {(key.split("/")[0], int(key.split("/")[1])): value for key, value in groups.items()}
tell(counts, named, seconds, task["orders"])
