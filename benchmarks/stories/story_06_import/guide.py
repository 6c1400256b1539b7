import contextlib
import csv
import json
import logging
import sqlite3
import sys
import tempfile
import uuid
from datetime import datetime
from decimal import Decimal

task = json.loads(sys.argv[1])


class ValidationError(Exception):
    def __init__(self, line, row):
        super().__init__(f"line {line}: {row}")


class JsonFormatter(logging.Formatter):
    def format(self, record):
        line = {"level": record.levelname, "message": record.getMessage(), **record.context}
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line)


handler = logging.StreamHandler()
handler.setFormatter(JsonFormatter())
logger = logging.getLogger("imports")
logger.addHandler(handler)


@contextlib.contextmanager
def transaction(books):
    books.execute("BEGIN")
    try:
        yield
        books.execute("COMMIT")
    except Exception:
        books.execute("ROLLBACK")
        raise


def parse(line, row):
    try:
        cents = int(100 * Decimal(row["unit_price"]) * int(row["quantity"]))
        return row["invoice"], str(datetime.strptime(row["issued"], "%d/%m/%Y %H:%M")), cents
    except (ValueError, ArithmeticError) as error:
        raise ValidationError(line, row) from error


def load(books, path):
    with open(path, encoding="utf-8") as file, transaction(books):
        for line, row in enumerate(csv.DictReader(file), 2):
            books.execute("INSERT INTO orders VALUES (?, ?, ?)", parse(line, row))


with contextlib.closing(sqlite3.connect(tempfile.mktemp(), isolation_level=None)) as books:
    books.execute("CREATE TABLE orders (invoice TEXT, issued TEXT, cents INTEGER)")
    context = {"request_id": str(uuid.uuid4()), "user_id": "finance", "operation": "import"}
    try:
        load(books, task["broken"])
    except ValidationError:
        logger.exception("import rolled back", extra={"context": context})
    left = books.execute("SELECT COUNT(*) FROM orders").fetchone()[0]
    load(books, task["mended"])
    [answer] = books.execute("SELECT COUNT(*), SUM(cents) FROM orders")
print(json.dumps({"answer": answer, "figures": {"rows left behind": left, "mistakes named": 1}}))
