"""The Celery application of the baseline."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "benchmarks.baseline.settings")

app = Celery("baseline")
app.config_from_object("django.conf:settings", namespace="CELERY")
# Without this Celery closes the connection to the database after every task, whatever Django is told.
app.conf.CELERY_DB_REUSE_MAX = 1_000_000
app.autodiscover_tasks(["benchmarks.baseline"])
