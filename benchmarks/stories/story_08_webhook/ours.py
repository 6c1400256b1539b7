import json
import os
import sys
import tempfile

from benchmarks.stories.story_08_webhook.load import KEY, put_under_load

os.environ["BURSAR_HOME"] = tempfile.mkdtemp(prefix="bursar-story-")
os.environ["BURSAR_LOG_LEVEL"] = "WARNING"
os.environ["BURSAR_SHOP_WEBHOOK_SECRET"] = KEY.decode()
from bursar.cli import bootstrap

bootstrap.start()
from bursar import clock, group_commit
from bursar.api import app
from bursar.cli import server
from bursar.payments import provider_accounts
from bursar.webhooks.models import InboxEvent

group_commit.commits.wait(
    lambda: provider_accounts.add(name="shop", provider="sandbox", config={}, now=clock.now())
)
served = app.make(api=False, admin=False)
server.settle_memory()
figures = put_under_load(served, json.loads(sys.argv[1]), "/hooks/shop")
answer = [figures.pop("answered"), InboxEvent.objects.count()]
bootstrap.stop()
print(json.dumps({"answer": answer, "figures": figures}))
