import json
import sys
import tempfile

import django
from a2wsgi import WSGIMiddleware
from django.conf import settings

from benchmarks.stories.story_08_webhook.load import put_under_load

settings.configure(
    ROOT_URLCONF=__name__,
    ALLOWED_HOSTS=["127.0.0.1"],
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": tempfile.mktemp(),
            "OPTIONS": {
                "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;",
                "transaction_mode": "IMMEDIATE",
            },
        }
    },
)
django.setup()
from django.core.wsgi import get_wsgi_application
from django.db import connection, models
from django.http import JsonResponse
from django.urls import path


class Event(models.Model):
    event, body = models.CharField(max_length=40, unique=True), models.JSONField()
    Meta = type("Meta", (), {"app_label": "story"})


def webhook(request):
    payload = json.loads(request.body)
    Event.objects.get_or_create(event=payload["id"], defaults={"body": payload})
    return JsonResponse({"received": True})


urlpatterns = [path("hooks", webhook)]
with connection.schema_editor() as editor:
    editor.create_model(Event)
app = WSGIMiddleware(get_wsgi_application(), workers=10)
figures = put_under_load(app, json.loads(sys.argv[1]), "/hooks")
answer = [figures.pop("answered"), Event.objects.count()]
print(json.dumps({"answer": answer, "figures": figures}))
