import ipaddress
import json
import sys
import time

task = json.loads(sys.argv[1])
began = time.perf_counter()
with open(task["log"], "rb") as file:
    lines = file.readlines()
addresses = [line.split(b" ")[0] for line in lines]
answer = 0
for token in list(set(addresses)):
    try:
        ipaddress.ip_address(token.decode())
        answer += 1
    except ValueError:  # a line that names no client
        pass
speed = task["megabytes"] / (time.perf_counter() - began)
print(json.dumps({"answer": answer, "figures": {"MB/s": speed}}))
