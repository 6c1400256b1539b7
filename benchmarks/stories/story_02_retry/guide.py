import functools
import http.client
import json
import sys
import time

from benchmarks.stories.story_02_retry.asking import ask_all, tell

task, sent = json.loads(sys.argv[1]), 0
connection = http.client.HTTPConnection("127.0.0.1", task["port"])


def retry(max_attempts, exceptions, backoff):
    def decorator(function):
        @functools.wraps(function)
        def wrapper(*args):
            for attempt in range(1, max_attempts):
                try:
                    return function(*args)
                except exceptions:
                    time.sleep(backoff * 2**attempt)
            return function(*args)

        return wrapper

    return decorator


@retry(max_attempts=3, exceptions=(OSError,), backoff=0.001)
def get(number):
    global sent
    sent += 1
    connection.request("GET", f"/rates/{number}")
    body = (response := connection.getresponse()).read()
    if response.status != 200:
        raise OSError("Error")
    return json.loads(body)["amount"]


tell(*ask_all(get, task["calls"], OSError), task["calls"], sent)
