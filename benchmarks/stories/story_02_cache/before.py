import json
import sys

from benchmarks.stories.story_02_cache.load import Database, play

task = json.loads(sys.argv[1])
database = Database(task)
play(task, database.aggregate, database)
