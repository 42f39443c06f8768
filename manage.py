#!/usr/bin/env python3
"""Django's command line: `manage.py help` lists what this project adds under "deliveries"."""

import os
import sys


def main() -> None:
    """Run a management command."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "webhooks_project.settings")
    if "deliver" not in sys.argv[1:2]:
        # Counting before pruning and building an index may take minutes; `deliver` is a worker.
        os.environ.setdefault("WEBHOOKS_STATEMENT_TIMEOUT", "600")
    try:
        from django.core.management import execute_from_command_line
    except ImportError:
        sys.exit(
            "Django is not installed for this Python: run `make run`, or `.venv/bin/python manage.py ...`."
        )
    from django.core.exceptions import ImproperlyConfigured

    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        if "--traceback" in sys.argv:
            raise
        sys.exit(str(error))


if __name__ == "__main__":
    main()
