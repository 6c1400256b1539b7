import json
import os
import sys
import tempfile

from benchmarks.stories.story_08_webhook.load import KEY, put_under_load

os.environ["BURSAR_HOME"] = tempfile.mkdtemp(prefix="bursar-story-")
os.environ["BURSAR_LOG_LEVEL"] = "WARNING"
os.environ["BURSAR_SHOP_WEBHOOK_SECRET"] = KEY.decode()
from bursar.cli import starting

starting.start()
from bursar import clock, groupcommit
from bursar.api import app
from bursar.cli import running
from bursar.payments import accounts
from bursar.webhooks.models import InboxEvent

groupcommit.commits.wait(
    lambda: accounts.add(name="shop", provider="sandbox", config={}, now=clock.now())
)
served = app.make(api=False, admin=False)
running.settle_memory()
figures = put_under_load(served, json.loads(sys.argv[1]), "/hooks/shop")
answer = [figures.pop("answered"), InboxEvent.objects.count()]
starting.stop()
print(json.dumps({"answer": answer, "figures": figures}))
