import functools
import json
import sys
import time

from benchmarks.stories.story_02_cache.load import Database, play

task = json.loads(sys.argv[1])
database = Database(task)


def cached(ttl_seconds):
    def decorator(function):
        entries = {}

        @functools.wraps(function)
        def wrapper(*args):
            key = str(args)  # a list cannot be a key of functools.lru_cache
            if key in entries and time.time() - entries[key][1] < ttl_seconds:
                return entries[key][0]
            value = function(*args)
            entries[key] = (value, time.time())
            return value

        return wrapper

    return decorator


@cached(ttl_seconds=60)
def aggregate(days):
    return database.aggregate(days)


play(task, aggregate, database)
