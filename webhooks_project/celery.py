"""The Celery application. Its messages say "there is work" and nothing else: the rows are the queue."""

import logging.config
import os
import sys
from pathlib import Path
from typing import Any

from celery import Celery
from celery.signals import beat_init, celeryd_init, setup_logging
from django.core.exceptions import ImproperlyConfigured

from webhooks_project import broker, logs

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "webhooks_project.settings")

broker.use()
app = Celery("webhooks")
_usual = sys.excepthook


def _say_what_makes_no_sense(kind: type[BaseException], error: BaseException, trace: Any) -> None:
    """Print the sentence alone. Celery reads the settings before it asks anybody."""
    if isinstance(error, ImproperlyConfigured):
        sys.stderr.write(f"{error}\n")
    else:
        _usual(kind, error, trace)


if Path(sys.argv[0]).parts[-2:] == ("celery", "__main__.py") or Path(sys.argv[0]).name == "celery":
    sys.excepthook = _say_what_makes_no_sense
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks(["deliveries"])


@setup_logging.connect
def keep_to_the_settings(**kwargs: Any) -> None:
    """Log as the settings say. Without this Celery puts a level of its own, WARNING, over LOG_LEVEL."""
    from django.conf import settings

    logging.config.dictConfig(settings.LOGGING)


@celeryd_init.connect
def survive_a_full_log(instance: Any, **kwargs: Any) -> None:
    """Start and go on where the disk of the log has no room, and have the log alone say that one starts."""
    logs.lose_what_finds_no_room()
    instance.quiet = True


@celeryd_init.connect
@beat_init.connect
def refuse_to_start_unsafely(**kwargs: Any) -> None:
    """End worker or beat with a sentence where that would not be safe; Celery forgets what checks say."""
    from webhooks_project import starting

    try:
        starting.check()
    except starting.Unsafe as error:
        sys.exit(str(error))
