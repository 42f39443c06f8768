"""What gunicorn serves: `gunicorn webhooks_project.wsgi`."""

from django.core.wsgi import get_wsgi_application
from gunicorn.errors import AppImportError

from webhooks_project import logs, starting

starting.as_web_server()

try:
    starting.check()
    # For who serves us by another worker class than ours.
    logs.take_over_gunicorn()
except starting.Unsafe as error:
    # Gunicorn prints it, without where it happened, and gives up.
    raise AppImportError(str(error)) from error
application = get_wsgi_application()
