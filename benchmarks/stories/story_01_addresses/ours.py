import json
import sys
import time
from pathlib import Path

from bursar.accesslog import analysis

task = json.loads(sys.argv[1])
began = time.perf_counter()
report = analysis.analyze([Path(task["log"])], tables={"addresses"}, processes=1)
speed = task["megabytes"] / (time.perf_counter() - began)
answer = report["addresses"]["distinct"]
print(json.dumps({"answer": answer, "figures": {"MB/s": speed}}))
