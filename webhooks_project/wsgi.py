"""What gunicorn serves: `gunicorn webhooks_project.wsgi`."""

import os

from django.core.management.base import BaseCommand
from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "webhooks_project.settings")
# Nobody waits longer for a page, and a thread must not be held longer by one.
os.environ.setdefault("WEBHOOKS_STATEMENT_TIMEOUT", "5")

application = get_wsgi_application()
# As every management command does: what would only be noticed at night stops the start.
BaseCommand().check()
