"""`manage.py demo`: make the demo data of `manage.py up` again, or remove them."""

import argparse
from pathlib import Path
from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand

from deliveries import clock
from deliveries.management.try_it import arguments, environment, papers, stopping
from deliveries.management.try_it.environment import Place
from deliveries.management.try_it.lock import alone_in
from deliveries.management.try_it.obstacles import Obstacle
from deliveries.printing import printable
from deliveries.services import demonstration


class Command(BaseCommand):
    """Make the demo data, or remove them."""

    help = "Make the demo account and its webhooks in the data folder of `manage.py up`, or remove them."
    # There is nothing to check before the environment is the right one.
    requires_system_checks = ()

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options."""
        arguments.add_data_dir(parser)
        parser.add_argument(
            "--clear", action="store_true", help="remove the demo account with all that belongs to it"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Do it once more without harm: what is there stays."""
        place = _place(options["data_dir"])
        try:
            environment.enter(place)
            if options["clear"]:
                # A service that runs would be left with a key and webhooks that are no more.
                with alone_in(place.data_dir):
                    self._clear()
                return
        except Obstacle as obstacle:
            self.stderr.write(str(obstacle))
            stopping.leave(1)
        call_command("migrate", verbosity=0, interactive=False)
        now = clock.now()
        webhooks = demonstration.furnish(demonstration.tenant(now=now), receiver=place.receiver_url, now=now)
        for webhook in webhooks:
            state = "enabled" if webhook.enabled else f"disabled: {webhook.disabled_reason}"
            self.stdout.write(printable(f"{webhook.name}   {webhook.url}   {state}"))

    def _clear(self) -> None:
        call_command("migrate", verbosity=0, interactive=False)
        there = demonstration.clear()
        self.stdout.write("The demo data are gone." if there else "There were no demo data.")


def _place(folder: Path) -> Place:
    """Return where the service runs on this folder, or would; the next start brings the webhooks along."""
    running = papers.read_announcement(folder)
    return Place.of(folder, running.url if running else "")
