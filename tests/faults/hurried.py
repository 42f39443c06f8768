"""The service's Celery application with a clock in a hurry: every job of the housekeeping, every second."""

from webhooks_project.celery import app

app.conf.beat_schedule = {name: {**entry, "schedule": 1.0} for name, entry in app.conf.beat_schedule.items()}
