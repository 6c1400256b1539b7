import json
import multiprocessing
import sys
import time
import urllib.request

from benchmarks.dashboard_plan import Board


def get(url):
    with urllib.request.urlopen(url) as response:
        return json.loads(response.read())["value"]


if __name__ == "__main__":
    task = json.loads(sys.argv[1])
    urls = Board(task["profile"], 0, task["count"]).urls(port=task["port"], run="before")
    began = time.perf_counter()
    # The colleague's way: a process for each API, which only waits.
    with multiprocessing.get_context("spawn").Pool(len(urls)) as pool:
        total = sum(pool.map(get, urls, chunksize=1))
    figures = {"board, s": time.perf_counter() - began, "processes": 1 + len(urls)}
    print(json.dumps({"answer": total, "figures": figures}))
