import asyncio
import json
import os
import sys
import time
import urllib.request
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import aiohttp

from benchmarks.dashboard_plan import Board
from benchmarks.stories.story_03_mixed.calculating import score


def get_blocking(url):  # a library without coroutines
    with urllib.request.urlopen(url) as response:
        return json.loads(response.read())["value"]


async def get(session, url):
    async with session.get(url) as response:
        return (await response.json())["value"]


async def board(urls, blocking, rounds):
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(20) as threads, ProcessPoolExecutor(os.cpu_count()) as processes:
        async with aiohttp.ClientSession() as session:
            waits = [loop.run_in_executor(threads, get_blocking, url) for url in urls[:blocking]]
            waits += [get(session, url) for url in urls[blocking:]]
            values = await asyncio.gather(*waits)
        scores = [loop.run_in_executor(processes, score, value, rounds) for value in values]
        return sum(await asyncio.gather(*scores))


if __name__ == "__main__":
    task = json.loads(sys.argv[1])
    urls = Board(task["profile"], 0, task["count"]).urls(port=task["port"], run="guide")
    began = time.perf_counter()
    total = asyncio.run(board(urls, task["blocking"], task["rounds"]))
    print(json.dumps({"answer": total, "figures": {"board, s": time.perf_counter() - began}}))
