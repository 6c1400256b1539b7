import json
import sys
import time
from collections import Counter, defaultdict

from benchmarks.stories.story_04_counting.orders import arriving, tell

task = json.loads(sys.argv[1])
orders = list(arriving(task))
counts, groups, seen = Counter(), defaultdict(list), set()
began = time.perf_counter()
for number, state, day in orders:
    if number not in seen:
        seen.add(number)
        counts[state] += 1
        groups[state, day].append(number)
tell(counts, groups, time.perf_counter() - began, task["orders"])
