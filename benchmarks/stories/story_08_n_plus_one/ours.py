import json
import os
import sys

task = json.loads(sys.argv[1])
os.environ["BURSAR_HOME"] = task["home"]
from bursar.cli import bootstrap

bootstrap.start()
from django.db import connection

from bursar.api import serializers
from bursar.orders.models import Order

paid, asked, after = 0, [], "ord_~"  # after every id
with connection.execute_wrapper(lambda run, *told: asked.append(1) or run(*told)):
    while page := list(Order.objects.filter(id__lt=after).order_by("-id")[:100]):
        # The whole orders, with their lines, payments, refunds and tries, as a caller gets them.
        for order in serializers.serialize_orders(page, expand=["payments"]):
            paid += sum(payment["captured"]["amount"] for payment in order["payments"])
        after = page[-1].id
print(json.dumps({"answer": paid, "figures": {"queries": len(asked)}}))
bootstrap.stop()
