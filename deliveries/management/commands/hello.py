"""`manage.py hello`: publish one event to the running service, and tell what becomes of it."""

import argparse
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand

from deliveries.management.try_it import arguments, papers, stopping, words
from deliveries.management.try_it.client import Refused
from deliveries.management.try_it.story import Story
from deliveries.printing import printable


class Command(BaseCommand):
    """Publish one event, and follow it."""

    help = "Publish one event to the service that `manage.py up` runs, and follow it to its webhooks."
    # Nothing of this process but its command line is used: the service is asked over HTTP.
    requires_system_checks = ()

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options."""
        arguments.add_data_dir(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        """Tell the story line by line, as it happens. Exit code 1 when there is nobody to tell it."""
        folder = options["data_dir"]
        running = papers.read_announcement(folder)
        if running is None:
            self._give_up(f"Nothing is running on {folder}: {_start(folder)}")
            return
        try:
            for line in Story(running, folder).tell():
                self.stdout.write(line)
                self.stdout.flush()
        except KeyboardInterrupt:
            self._give_up(f"The rest is told at {running.url}/admin/.")
        except Refused as error:
            self._give_up(f"The service did not want it: {printable(error)}")
        except OSError:
            self._give_up(f"Nothing answers at {running.url}: {_start(folder)}")

    def _give_up(self, sentence: str) -> None:
        self.stderr.write(sentence)
        stopping.leave(1)


def _start(folder: Path) -> str:
    return f"start it with `{words.run(folder)}`, in another terminal."
