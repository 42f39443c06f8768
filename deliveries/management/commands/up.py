"""`manage.py up`: the whole service in one process, to try it out."""

import argparse
from collections.abc import Iterator
from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand
from django.core.servers.basehttp import get_internal_wsgi_application
from django.urls import reverse

from deliveries import clock
from deliveries.management.try_it import arguments, banner, environment, papers, people, stopping, words
from deliveries.management.try_it.client import Client
from deliveries.management.try_it.environment import DRAIN_TIMEOUT, Place
from deliveries.management.try_it.lock import alone_in
from deliveries.management.try_it.obstacles import Obstacle
from deliveries.management.try_it.server import WebServer
from deliveries.models import Delivery
from deliveries.services import demonstration, dispatching
from webhooks_project import starting
from webhooks_project.in_process import WorkerAndBeat

# What closing the worker takes beside the drain, in seconds.
_CLOSING = 3


class Command(BaseCommand):
    """Start web server, worker and scheduler, and stop them on Ctrl-C."""

    help = "Run the whole service in this process, to try it out: SQLite, Celery in memory, a demo receiver."
    # There is nothing to check before the environment is the right one; then it is.
    requires_system_checks = ()

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options."""
        arguments.add_address(parser)
        arguments.add_data_dir(parser)
        parser.add_argument(
            "--no-demo", action="store_false", dest="demo", help="no receiver and no demo webhooks"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Serve until asked to stop. What is in the way is said in one sentence, with exit code 1."""
        place = Place(**{name: options[name] for name in ("data_dir", "host", "port", "demo")})
        try:
            environment.enter(place)
            _check()
            with alone_in(
                place.data_dir, otherwise=f", or choose another folder with `{words.ANOTHER_FOLDER}`"
            ):
                self._serve(place)
        except Obstacle as obstacle:
            self.stderr.write(str(obstacle))
            stopping.leave(1)
        stopping.leave(0)

    def _serve(self, place: Place) -> None:
        stop = stopping.Stop(
            on_second=lambda: self._say("Stopped at once; what was under way is sent again.")
        )
        server = WebServer(place)
        # A killed process leaves it behind, and somebody may already be waiting for ours.
        papers.withdraw(place.data_dir)
        call_command("migrate", verbosity=0, interactive=False)
        _end_old_leases()
        credentials, banner_lines = _admit(place)
        worker = WorkerAndBeat()
        worker.start()
        server.start(get_internal_wsgi_application())
        # Whoever finds up.json finds a service that has answered before.
        Client(place.url).fetch(reverse("admin:login"))
        papers.announce(place, credentials)
        self._say(*banner_lines)

        stop.wait()
        # First: Celery's worker tells it only when the task of the last ring is over, which claims meanwhile.
        dispatching.begin_stop()
        self._say(f"\nStopping. What is under way has {DRAIN_TIMEOUT} s; Ctrl-C again stops at once.")
        papers.withdraw(place.data_dir)
        server.close_to_visitors()
        worker.stop(within=DRAIN_TIMEOUT + _CLOSING)
        server.stop()
        self._say(_farewell())

    def _say(self, *lines: str) -> None:
        for line in lines:
            self.stdout.write(line)
        self.stdout.flush()


def _check() -> None:
    """Refuse what would not be safe.

    :raises Obstacle: there is such a thing.
    """
    try:
        starting.check()
    except starting.Unsafe as error:
        raise Obstacle(str(error)) from error


def _admit(place: Place) -> tuple[papers.Credentials, Iterator[str]]:
    """Have an account, its demo webhooks and somebody to use them. Return the credentials and the banner."""
    now = clock.now()
    tenant = demonstration.tenant(now=now)
    logs = None
    if place.demo:
        healthy, *_ = demonstration.furnish(tenant, receiver=place.receiver_url, now=now)
        logs = f"/api/v1/agents/{healthy.agent_id}/webhooks/{healthy.pk}/logs"
    credentials, new = people.admit(place.data_dir, tenant, now=now)
    return credentials, banner.lines(place, credentials, new=new, logs=logs)


def _end_old_leases() -> None:
    """Make due what a killed process had claimed. It held this folder's lock, so nobody works on it now."""
    leased = Delivery.objects.exclude(lease_token=None)
    leased.move(Delivery.Status.PENDING, allowed_from=[Delivery.Status.PENDING], due_at=clock.now())


def _farewell() -> str:
    due = Delivery.objects.unfinished().count()
    left = f"{due} deliveries are" if due != 1 else "1 delivery is"
    return (
        f"Stopped. {left} still due and will go out after the next start."
        if due
        else "Stopped. Nothing is due."
    )
