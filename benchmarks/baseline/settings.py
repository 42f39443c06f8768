"""Settings of the baseline."""

import os
from urllib.parse import urlsplit

_DATABASE = urlsplit(os.environ.get("DATABASE_URL", "postgres://postgres@127.0.0.1/baseline"))

SECRET_KEY = "not a secret: it serves nobody"
INSTALLED_APPS = ["benchmarks.baseline"]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": _DATABASE.hostname,
        "PORT": _DATABASE.port,
        "USER": _DATABASE.username,
        "NAME": _DATABASE.path.removeprefix("/"),
        "CONN_MAX_AGE": None,
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True

CELERY_BROKER_URL = os.environ.get("REDIS_URL", "")
CELERY_TASK_IGNORE_RESULT = True
# One delivery takes milliseconds, so children need not ask for each of them.
CELERY_WORKER_PREFETCH_MULTIPLIER = 16
CELERY_WORKER_SEND_TASK_EVENTS = False

# The file of the authority that receivers are checked against.
CA_BUNDLE = os.environ.get("WEBHOOKS_CA_BUNDLE") or True
