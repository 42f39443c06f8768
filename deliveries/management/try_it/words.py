"""What a message tells a person to type: the words of `make`, which newcomers have."""

import shlex
from pathlib import Path

from django.conf import settings

from deliveries.management.try_it.arguments import HOST, PORT

# For messages about a folder that will not do.
ANOTHER_FOLDER = "make run DATA=~/webhooks-data"


def run(data_dir: Path, *, host: str = HOST, port: int = PORT) -> str:
    """Return the words that start the service there."""
    options = [f"PORT={port}"] if port != PORT else []
    options += [f"HOST={host}"] if host != HOST else []
    return " ".join(["make run", *options, *_data(data_dir)])


def hello(data_dir: Path) -> str:
    """Return the words that publish an event to the service on this folder."""
    return " ".join(["make hello", *_data(data_dir)])


def _data(folder: Path) -> list[str]:
    """Return the variable for a folder; nothing for the one that counts without it, where the Makefile is."""
    return [] if folder == settings.BASE_DIR / "var" else [f"DATA={shlex.quote(str(folder))}"]
