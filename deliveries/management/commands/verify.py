"""Prove that this installation loses nothing."""

import json
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from datetime import timedelta
from functools import partial
from types import FrameType
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser
from django.db import Error as DatabaseError

from deliveries import clock, signing
from deliveries.management import arguments
from deliveries.management.progress import Progress
from deliveries.management.try_it.beside import BesideCommand
from deliveries.management.verifying import killing
from deliveries.management.verifying.outcome import Outcome
from deliveries.management.verifying.receiving import BuiltInReceiver, OwnReceiver, Receiver
from deliveries.management.verifying.trial import (
    Trial,
    remove_left_behind,
    throw_away_account,
    usual_patience,
)
from deliveries.models import Worker
from deliveries.models.databases import keep_time
from deliveries.printing import printable
from deliveries.services.webhooks import InvalidWebhook

_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_LOOK = 1.0
_NO_WORKER = "No worker is alive: start one, or add --wait to wait for one."


class Command(BesideCommand):
    """Publishes events to itself, and counts what arrives."""

    help = (
        "Publish events into a throw-away account and follow each to where it arrives; kill a worker on the "
        "way if told to. Says what was lost, sent twice or signed wrongly, and how long it took. Exit code 0 "
        "only when nothing was lost and every signature was right. The account is removed in any case."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Say how much, how fast and where."""
        parser.add_argument(
            "--events", type=arguments.whole_number, default=1000, metavar="N", help="1000 by default"
        )
        parser.add_argument(
            "--rate", type=arguments.whole_number, default=50, metavar="N", help="a second, 50 by default"
        )
        parser.add_argument(
            "--listen", type=arguments.address, default=("127.0.0.1", 0), metavar="HOST:PORT",
            help="where they are to arrive, in reach of the workers; any free port of 127.0.0.1 by default",
        )  # fmt: skip
        parser.add_argument(
            "--reached-at", type=arguments.host, metavar="HOST",
            help="the name or address by which workers reach it, if that is not the one it listens at",
        )  # fmt: skip
        parser.add_argument(
            "--patience", type=arguments.seconds, metavar="SECONDS",
            help="how long to wait for stragglers; by default a little longer than a lease",
        )  # fmt: skip
        parser.add_argument(
            "--kill-worker", action="store_true", help="kill -9 a worker on this host when half is published"
        )
        parser.add_argument("--yes", action="store_true", help="do not ask before killing")
        parser.add_argument("--wait", action="store_true", help="wait for a worker when none is alive")
        parser.add_argument("--json", action="store_true", help="say it in JSON")
        super().add_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        """Do it, and report."""
        keep_time(within=timedelta())
        stop = threading.Event()
        victim = self._victim(yes=options["yes"]) if options["kill_worker"] else None
        if removed := remove_left_behind():
            self.stderr.write(f"Removed what earlier runs left behind that were killed: {removed}.")
        with _stopping(stop):
            # What `make run` starts has a worker, which says so a moment after the service is ready.
            self._wait_for_a_worker(stop, wait=options["wait"] or options["data_dir"] is not None)
            outcome = self._try(victim, stop, options)
        self._report(outcome, as_json=options["json"])
        if stop.is_set():
            raise CommandError("Stopped before the end; the account is removed.")
        if not outcome.good:
            raise CommandError("This installation did not do what it should.")

    def _victim(self, *, yes: bool) -> Worker:
        """Return the worker that is to be killed, which somebody has agreed to.

        :raises CommandError: there is none, or nobody has.
        """
        try:
            worker = killing.choose(now=clock.now())
        except killing.NothingToKill as error:
            raise CommandError(str(error)) from error
        if yes:
            return worker
        self.stderr.write(f"Half way through, the worker with process id {worker.pid} is killed (kill -9).")
        self.stderr.write("What it has under way is sent again. Type kill to agree:")
        if sys.stdin.readline().strip() != "kill":
            raise CommandError("Nothing was killed or published.")
        return worker

    def _wait_for_a_worker(self, stop: threading.Event, *, wait: bool) -> None:
        """Return when one is alive.

        :raises CommandError: none is, and nobody wants to wait.
        """
        while not Worker.objects.alive(clock.now()).exists():
            if not wait or stop.wait(_LOOK):
                raise CommandError(_NO_WORKER)

    def _try(self, victim: Worker | None, stop: threading.Event, options: dict[str, Any]) -> Outcome:
        """Publish and follow, and leave nothing behind.

        :raises CommandError: something outside is in the way.
        """
        killed: list[int] = []

        def halfway() -> None:
            if victim is not None:
                killing.kill(victim, now=clock.now())
                killed.append(victim.pid)

        secret = signing.new_secret()
        try:
            with ExitStack() as stack:
                receiver = _receiver(options["listen"], options["reached_at"], secret, stack)
                account = stack.enter_context(throw_away_account(url=receiver.url, secret=secret))
                progress = stack.enter_context(Progress(self.stderr, "events arrived"))
                trial = Trial(
                    account=account,
                    receiver=receiver,
                    stop=stop,
                    tell=partial(progress, total=options["events"]),
                )
                trial.publish(options["events"], rate=options["rate"], halfway=halfway)
                trial.follow(patience=options["patience"] or usual_patience())
                return trial.outcome(wanted=options["events"], killed=killed[0] if killed else None)
        except InvalidWebhook as error:
            raise CommandError(_hint(receiver.url, error)) from error
        except (killing.NothingToKill, OSError) as error:
            raise CommandError(f"{error} Nothing is left of what was published.") from error
        except DatabaseError:
            self.stderr.write("If anything is left of what was published, a later run removes it.")
            raise

    def _report(self, outcome: Outcome, *, as_json: bool) -> None:
        self.stdout.write(json.dumps(asdict(outcome)) if as_json else "\n".join(outcome.lines()))


def _hint(url: str, error: InvalidWebhook) -> str:
    """Return what is in the way of a webhook to there, and what to do about it."""
    problems = " ".join(printable(text) for found in error.problems.values() for text in found)
    if "url" not in error.problems:
        return f"The trial's webhook is refused: {problems}"
    return (
        f"Nothing may be sent to {url} ({problems}): set WEBHOOKS_ALLOWED_NETWORKS to its network, "
        f"WEBHOOKS_ALLOW_PRIVATE_NETWORKS=true and WEBHOOKS_REQUIRE_HTTPS=false for this command and for the "
        f"workers while you verify. Workers that reach it by another address: --reached-at."
    )


def _receiver(address: tuple[str, int], reached_at: str | None, secret: str, stack: ExitStack) -> Receiver:
    """Return where the events are to arrive: at the built-in receiver where there is one.

    :raises OSError: one cannot listen there, or the built-in receiver does not answer.
    """
    if settings.WEBHOOKS_DEMO_RECEIVER:
        return BuiltInReceiver(settings.WEBHOOKS_DEMO_RECEIVER)
    receiver = OwnReceiver(*address, secret=secret, reached_at=reached_at)
    stack.enter_context(receiver.open())
    return receiver


@contextmanager
def _stopping(stop: threading.Event) -> Iterator[None]:
    """Have Ctrl-C and SIGTERM ask for a stop, for the length of the block.

    However often they come: what is there must be removed.
    """

    def ask(number: int, frame: FrameType | None) -> None:
        stop.set()

    before = {number: signal.signal(number, ask) for number in _STOP_SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
