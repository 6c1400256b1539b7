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
from bursar.webhooks.models import WebhookEvent

group_commit.commits.run_blocking(
    lambda: provider_accounts.create_account(
        name="shop", provider="sandbox", config={}, now=clock.now()
    )
)
served = app.create_app(api=False, admin=False)
server.freeze_gc()
figures = put_under_load(served, json.loads(sys.argv[1]), "/hooks/shop")
answer = [figures.pop("answered"), WebhookEvent.objects.count()]
bootstrap.stop()
print(json.dumps({"answer": answer, "figures": figures}))
