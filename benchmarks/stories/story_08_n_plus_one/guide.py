import json
import os
import sys

task = json.loads(sys.argv[1])
os.environ["BURSAR_HOME"] = task["home"]
from bursar.cli import bootstrap

bootstrap.start()
from django.db import connection

from bursar.orders.models import Order

paid, asked = 0, []
with connection.execute_wrapper(lambda run, *told: asked.append(1) or run(*told)):
    for order in Order.objects.order_by("-id").prefetch_related("payments"):
        for payment in order.payments.all():
            paid += payment.captured_minor
print(json.dumps({"answer": paid, "figures": {"queries": len(asked)}}))
bootstrap.stop()
