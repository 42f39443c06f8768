"""What gunicorn serves: `gunicorn webhooks_project.wsgi`."""

import os

from django.core.wsgi import get_wsgi_application
from gunicorn.errors import AppImportError

from webhooks_project import logs, starting

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "webhooks_project.settings")
# Nobody waits longer for a page, and a thread must not be held longer by one.
os.environ.setdefault("WEBHOOKS_STATEMENT_TIMEOUT", "5")

try:
    starting.check()
    # For who serves us by another worker class than ours.
    logs.take_over_gunicorn()
except starting.Unsafe as error:
    # Gunicorn prints it, without where it happened, and gives up.
    raise AppImportError(str(error)) from error
application = get_wsgi_application()
