import json
import sys

from benchmarks.stories.story_02_cache.load import Database, play
from bursar.decorators import cache

task = json.loads(sys.argv[1])
database = Database(task)


@cache(maxsize=1_000, ttl_seconds=60.0, stale_seconds=300.0)
def aggregate(days):
    return database.aggregate(days)


play(task, aggregate, database)
