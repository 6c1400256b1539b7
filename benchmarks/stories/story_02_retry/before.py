import http.client
import json
import sys

from benchmarks.stories.story_02_retry.asking import ask_all, tell

task = json.loads(sys.argv[1])
connection = http.client.HTTPConnection("127.0.0.1", task["port"])
sent = 0


def get(number):
    global sent
    sent += 1
    connection.request("GET", f"/rates/{number}")
    response = connection.getresponse()
    body = response.read()
    if response.status != 200:
        raise OSError("Error")
    return json.loads(body)["amount"]


# One of twelve places with a try/except of its own; this one has given up trying again.
tell(*ask_all(get, task["calls"], OSError), task["calls"], sent)
