import json
import os
import sys
import tempfile
from pathlib import Path

os.environ["BURSAR_HOME"] = tempfile.mkdtemp(prefix="bursar-story-")
from bursar.cli import starting

starting.start()
from django.db.models import Count, Sum

from bursar import clock
from bursar.imports import mapping, problems
from bursar.orders import importing
from bursar.orders.models import Order

task, named = json.loads(sys.argv[1]), 0
wanted = mapping.load(Path("examples/invoices/mapping.toml"))
try:
    importing.import_file(path=Path(task["broken"]), mapping=wanted, now=clock.now())
except problems.ImportRefused as refused:
    named = len(refused.problems)
left = Order.objects.count()
importing.import_file(path=Path(task["mended"]), mapping=wanted, now=clock.now())
answer = list(Order.objects.aggregate(count=Count("id"), cents=Sum("total_minor")).values())
starting.stop()
print(
    json.dumps({"answer": answer, "figures": {"rows left behind": left, "mistakes named": named}})
)
