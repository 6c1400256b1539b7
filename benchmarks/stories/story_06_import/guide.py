import contextlib
import csv
import json
import logging
import sqlite3
import sys
import tempfile
from datetime import datetime
from decimal import Decimal

task = json.loads(sys.argv[1])
books = sqlite3.connect(tempfile.mktemp(), isolation_level=None)
books.execute("CREATE TABLE orders (invoice TEXT, issued TEXT, cents INTEGER)")


@contextlib.contextmanager
def transaction():
    books.execute("BEGIN")
    try:
        yield
        books.execute("COMMIT")
    except Exception:
        books.execute("ROLLBACK")
        raise


def load(path):
    with open(path, encoding="utf-8") as file, transaction():
        for row in csv.DictReader(file):
            cents = int(100 * Decimal(row["unit_price"]) * int(row["quantity"]))
            issued = str(datetime.strptime(row["issued"], "%d/%m/%Y %H:%M"))
            books.execute("INSERT INTO orders VALUES (?, ?, ?)", (row["invoice"], issued, cents))


try:
    load(task["broken"])
except (ValueError, ArithmeticError):  # with a traceback, and one class of one's own less
    logging.exception(json.dumps({"operation": "import", "file": task["broken"]}))
left = books.execute("SELECT COUNT(*) FROM orders").fetchone()[0]
load(task["mended"])
[answer] = books.execute("SELECT COUNT(*), SUM(cents) FROM orders")
print(json.dumps({"answer": answer, "figures": {"rows left behind": left, "mistakes named": 1}}))
