"""What every process of the service does first: refuse to start where that would not be safe.

Management commands do so by themselves. Gunicorn and Celery do not.
"""

import logging
import os

import django
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured

logger = logging.getLogger(__name__)


class Unsafe(Exception):
    """The service must not start like this; the message says why, and what to set."""


def as_web_server() -> None:
    """Set what is different for whoever answers requests; before anybody reads the settings."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "webhooks_project.settings")
    # Nobody waits longer for a page, and a thread must not be held longer by one.
    os.environ.setdefault("WEBHOOKS_STATEMENT_TIMEOUT", "5")


def check() -> None:
    """Set Django up, run its checks, and log what they warn of.

    :raises Unsafe: they found errors, or a setting makes no sense.
    """
    try:
        django.setup()
        found = [message for message in run_checks() if not message.is_silenced()]
    except ImproperlyConfigured as error:
        raise Unsafe(str(error)) from error
    errors = [message for message in found if message.is_serious()]
    if errors:
        raise Unsafe("\n".join(f"{each.msg} {each.hint or ''} ({each.id})" for each in errors))
    for message in found:
        logger.warning(
            "%s", message.msg, extra={"event": "start.warned", "hint": message.hint, "id": message.id}
        )
