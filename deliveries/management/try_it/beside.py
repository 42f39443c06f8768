"""Commands that also work beside `make run`, without a variable that is set by hand."""

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from deliveries.management.try_it import arguments, environment, papers, words
from deliveries.management.try_it.environment import Place
from deliveries.management.try_it.obstacles import Obstacle


class BesideCommand(BaseCommand):
    """Works on the service of `make run` that --data-dir names; without it on what the variables say."""

    def add_arguments(self, parser: CommandParser) -> None:
        """Add --data-dir."""
        arguments.add_data_dir_of_running(parser)

    def execute(self, *args: Any, **options: Any) -> str | None:
        """Become a process of that service before the checks, which look at its settings.

        :raises CommandError: none runs on that folder.
        """
        if options["data_dir"] is not None:
            _enter(options["data_dir"])
        return super().execute(*args, **options)


def _enter(folder: Path) -> None:
    """Be a process of the service that `make run` runs on this folder.

    :raises CommandError: none does.
    """
    running = papers.read_announcement(folder)
    if running is None:
        raise CommandError(f"Nothing is running on {folder}: start it with `{words.run(folder)}`.")
    try:
        environment.enter(Place.of(folder, running.url, demo=bool(running.receiver_url)))
    except Obstacle as obstacle:
        raise CommandError(str(obstacle)) from obstacle
