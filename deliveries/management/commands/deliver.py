"""Deliver without Celery."""

import signal
from datetime import timedelta
from types import FrameType
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from deliveries import clock, garbage
from deliveries.management import arguments
from deliveries.services import dispatching
from deliveries.services.dispatching import Dispatcher

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Command(BaseCommand):
    """Runs the dispatcher that runs in every worker, in this process and without a broker."""

    help = (
        "Deliver what is due until stopped, without Celery or Redis. SIGTERM and Ctrl-C finish what is under "
        "way; the second one ends the process at once."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Say until when."""
        parser.add_argument("--once", action="store_true", help="deliver what is due now, and return")
        parser.add_argument(
            "--within",
            type=arguments.seconds,
            metavar="SECONDS",
            default=timedelta(minutes=10),
            help="how long --once may take, 600 by default",
        )

    def handle(self, *, once: bool, within: timedelta, **options: Any) -> str:
        """Deliver."""
        dispatcher = dispatching.build(clock=clock.now)
        _stop_on_signals(dispatcher)
        if not once:
            self.stdout.write("Delivering. Ctrl-C stops.")
            self.stdout.flush()
            garbage.spare_what_stays()
            dispatcher.run()
            return "Stopped."
        idle = dispatcher.run_until_idle(budget=within)
        dispatcher.stop()
        dispatcher.run()
        if not idle:
            raise CommandError("Stopped before everything due was delivered.")
        return "Everything due was delivered or is scheduled for another attempt."


def _stop_on_signals(dispatcher: Dispatcher) -> None:
    def stop(number: int, frame: FrameType | None) -> None:
        for each in STOP_SIGNALS:
            signal.signal(each, signal.SIG_DFL)
        dispatcher.stop()

    for each in STOP_SIGNALS:
        signal.signal(each, stop)
