import json
import os
import sys
import tempfile
from pathlib import Path

os.environ["BURSAR_HOME"] = tempfile.mkdtemp(prefix="bursar-story-")
from bursar.cli import bootstrap

bootstrap.start()
from django.db.models import Count, Sum

from bursar import clock
from bursar.imports import mapping, row_errors
from bursar.orders import imports
from bursar.orders.models import Order

task, named = json.loads(sys.argv[1]), 0
wanted = mapping.load(Path("examples/invoices/mapping.toml"))
try:
    imports.import_file(path=Path(task["broken"]), mapping=wanted, now=clock.now())
except row_errors.ImportRefused as refused:
    named = len(refused.problems)
left = Order.objects.count()
imports.import_file(path=Path(task["mended"]), mapping=wanted, now=clock.now())
answer = list(Order.objects.aggregate(count=Count("id"), cents=Sum("total_minor")).values())
bootstrap.stop()
print(
    json.dumps({"answer": answer, "figures": {"rows left behind": left, "mistakes named": named}})
)
