import asyncio
import json
import sqlite3
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor

from fastapi import FastAPI
from pydantic import BaseModel

from benchmarks.stories.story_08_webhook.load import put_under_load

books = sqlite3.connect(tempfile.mktemp(), isolation_level=None, check_same_thread=False)
books.execute("PRAGMA journal_mode=WAL")
books.execute("PRAGMA synchronous=FULL")
books.execute("CREATE TABLE events (id TEXT PRIMARY KEY, body TEXT)")
app, disk = FastAPI(), ThreadPoolExecutor(1)  # SQLite has one writer


class Event(BaseModel):
    id: str
    type: str
    object: dict[str, int]


def store(event):
    books.execute("INSERT OR IGNORE INTO events VALUES (?, ?)", (event.id, event.model_dump_json()))


@app.post("/hooks")
async def webhook(event: Event) -> dict[str, bool]:
    await asyncio.get_running_loop().run_in_executor(disk, store, event)
    return {"received": True}


figures = put_under_load(app, json.loads(sys.argv[1]), "/hooks")
[(stored,)] = books.execute("SELECT COUNT(*) FROM events")
print(json.dumps({"answer": [figures.pop("answered"), stored], "figures": figures}))
