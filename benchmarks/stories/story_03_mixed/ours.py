import asyncio
import functools
import json
import sys
import time
import urllib.request

from benchmarks.dashboard_plan import Board
from benchmarks.stories.story_03_mixed.calculating import score
from bursar.dashboard.fetching import fetcher
from bursar.dashboard.fetching.sources import BlockingSource, HttpSource


def value_of(body):
    return json.loads(body)["value"]


def get_blocking(url):
    with urllib.request.urlopen(url) as response:
        return value_of(response.read())


async def board(urls, blocking, rounds):
    scored = functools.partial(score, rounds=rounds)
    sources = [
        BlockingSource(key=url, function=functools.partial(get_blocking, url), transform=scored)
        for url in urls[:blocking]
    ] + [HttpSource(key=u, url=u, read=value_of, transform=scored) for u in urls[blocking:]]
    async with fetcher.Fetcher() as gathering:
        return await gathering.fetch_all(sources, deadline_seconds=30)


if __name__ == "__main__":
    task = json.loads(sys.argv[1])
    urls = Board(task["profile"], 0, task["count"]).urls(port=task["port"], run="ours")
    began = time.perf_counter()
    tiles = asyncio.run(board(urls, task["blocking"], task["rounds"]))
    total = sum(tile.value for tile in tiles.values())
    print(json.dumps({"answer": total, "figures": {"board, s": time.perf_counter() - began}}))
