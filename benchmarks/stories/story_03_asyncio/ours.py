import asyncio
import json
import sys
import time

import orjson

from benchmarks.dashboard_plan import Board
from bursar.dashboard.fetching import fetcher
from bursar.dashboard.fetching.sources import HttpSource

task = json.loads(sys.argv[1])
urls = Board(task["profile"], 0, task["count"]).urls(port=task["port"], run="ours")
sources = [HttpSource(key=url, url=url, read=orjson.loads) for url in urls]


async def board():
    async with fetcher.Fetcher() as gathering:
        return await gathering.fetch_all(sources, deadline_seconds=3)


began = time.perf_counter()
tiles = asyncio.run(board())
total = sum(tile.value["value"] for tile in tiles.values())
figures = {"board, s": time.perf_counter() - began, "processes": 1}
print(json.dumps({"answer": total, "figures": figures}))
