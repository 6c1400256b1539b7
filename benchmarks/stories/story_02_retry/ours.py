import http.client
import io
import json
import sys

from benchmarks.stories.story_02_retry.asking import ask_all, tell
from bursar import errors, logs
from bursar.decorators import ExponentialBackoff, retry, retry_statistics

task = json.loads(sys.argv[1])
connection = http.client.HTTPConnection("127.0.0.1", task["port"])
sent = 0
logs.configure(stream=io.BytesIO())


@retry(3, errors.ExternalAPIError, ExponentialBackoff(first_seconds=0.001), idempotent=True)
def get(number):
    global sent
    sent += 1
    connection.request("GET", f"/rates/{number}")
    response = connection.getresponse()
    body = response.read()
    if response.status != 200:
        raise errors.ExternalAPIError("the rates API turned the call away")
    return json.loads(body)["amount"]


total, seen = ask_all(get, task["calls"], errors.ExternalAPIError)
assert retry_statistics(get).attempts_exhausted >= seen
tell(total, seen, task["calls"], sent)
