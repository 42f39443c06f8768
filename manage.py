#!/usr/bin/env python3
"""Django's command line: `manage.py help` lists what this project adds under "deliveries"."""

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from django.db import Error


def main() -> None:
    """Run a management command."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "webhooks_project.settings")
    if not {"deliver", "tail"} & set(sys.argv[1:2]):
        # Counting before pruning and building an index may take minutes; `deliver` is a worker, and `tail` is
        # to notice soon that the database is away.
        os.environ.setdefault("WEBHOOKS_STATEMENT_TIMEOUT", "600")
    try:
        from django.core.management import execute_from_command_line
    except ImportError:
        sys.exit(
            "Django is not installed for this Python: run `make run`, or `.venv/bin/python manage.py ...`."
        )
    from django.core.exceptions import ImproperlyConfigured
    from django.db import Error

    try:
        execute_from_command_line(sys.argv)
    except (ImproperlyConfigured, Error) as error:
        sentence = _outage(error) if isinstance(error, Error) else str(error)
        if sentence is None or "--traceback" in sys.argv:
            raise
        sys.exit(sentence)


def _outage(error: "Error") -> str | None:
    # Only now: it needs the settings, without which no database can have been asked.
    from deliveries.management import outages

    return outages.in_words(error)


if __name__ == "__main__":
    main()
