"""Show attempts as they are recorded."""

import json
import os
import select
import sys
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.core.management.base import CommandError, CommandParser
from django.core.serializers.json import DjangoJSONEncoder
from django.db import InterfaceError, OperationalError, connection

from deliveries import clock
from deliveries.management import arguments, outages
from deliveries.management.try_it.beside import BesideCommand
from deliveries.models import Webhook
from deliveries.printing import printable
from deliveries.reasons import describe
from deliveries.services.tailing import News, Tail, Told

LINES = 10
# How far back it looks for them, unless told otherwise.
SINCE = timedelta(hours=1)
# With a moment to begin at, all since then; but what nobody reads nobody has to wait for.
MOST_LINES = 10_000
# A second's lines for people; a program reads faster.
MOST_ON_A_TERMINAL, MOST = 100, 5_000
# Seconds between two looks, and how many times as long as it took to look, so that it is no burden.
EVERY, TIMES = 1.0, 10
_MILLISECOND = timedelta(milliseconds=1)


class Command(BesideCommand):
    """Like `tail -f`: reads only, and not what was sent or came back."""

    help = (
        "Print a line for each attempt as it is recorded, beginning with the last ten: when it began (UTC), "
        "what came of it, how long it took, its number, the type of its event, its webhook and its delivery."
    )

    _line: Callable[[Told], str]

    def add_arguments(self, parser: CommandParser) -> None:
        """Say which attempts."""
        parser.add_argument("--failed", action="store_true", help="only those that failed")
        parser.add_argument("--webhook", type=arguments.uuid, metavar="ID", help="only those to this one")
        parser.add_argument(
            "-n", "--lines", type=arguments.whole_number_or_none, metavar="N",
            help=f"how many of before to begin with; {LINES} of the last hour by default",
        )  # fmt: skip
        parser.add_argument(
            "--since", type=arguments.since, metavar="TIME",
            help=f"begin with what began since, 15m ago or at a moment; the last {MOST_LINES:,}, or --lines",
        )  # fmt: skip
        parser.add_argument("--no-follow", action="store_false", dest="follow", help="print those, and end")
        parser.add_argument("--json", action="store_true", help="an object of JSON on each line")
        super().add_arguments(parser)

    def handle(
        self,
        *,
        failed: bool,
        webhook: UUID | None,
        lines: int | None,
        since: timedelta | datetime | None,
        follow: bool,
        json: bool,
        **options: Any,
    ) -> None:
        """Print until Ctrl-C, or until nobody reads any more.

        :raises CommandError: there is no such webhook.
        """
        if webhook and not Webhook.objects.filter(pk=webhook).exists():
            raise CommandError(f"There is no webhook {webhook}.")
        now = clock.now()
        begin = since if isinstance(since, datetime) else now - (since or SINCE)
        most = lines if lines is not None else MOST_LINES if since else LINES
        self._line = _as_json if json else self._in_words
        tail = Tail(failed=failed, webhook=webhook, now=now)
        try:
            self._print(tail.last(most=most, since=begin, now=now))
            if follow:
                self._follow(tail)
        except KeyboardInterrupt:
            return
        except BrokenPipeError:
            # Python would try to write what is left once more, at its end, and complain.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

    def _follow(self, tail: Tail) -> None:
        """Look again and again, also while the database is away."""
        most = MOST_ON_A_TERMINAL if self.stdout.isatty() else MOST
        rest, away = EVERY, False
        while True:
            _wait(rest)
            began = time.monotonic()
            try:
                news = tail.news(most=most, now=clock.now())
            except (OperationalError, InterfaceError) as error:
                if not away:
                    self.stderr.write(f"{outages.in_words(error)}; waiting.")
                away = True
                connection.close_if_unusable_or_obsolete()
                continue
            if away:
                self.stderr.write("The database answers again.", str)
            away, rest = False, max(EVERY, TIMES * (time.monotonic() - began))
            self._print(news.attempts)
            self._say_what_is_missing(news)

    def _say_what_is_missing(self, news: News) -> None:
        if news.missing_before:
            self.stderr.write(f"What ended before {news.missing_before:%H:%M:%S} is missing.", str)
        if news.left_out:
            self.stderr.write(f"{news.left_out:,} more are left out; --failed and --webhook have fewer.", str)

    def _print(self, attempts: Sequence[Told]) -> None:
        for attempt in attempts:
            self.stdout.write(self._line(attempt))
        self.stdout.flush()

    def _in_words(self, attempt: Told) -> str:
        outcome = self.style.ERROR("failed") if attempt.reason else self.style.SUCCESS("ok    ")
        answer = f"HTTP {attempt.http_status}" if attempt.http_status else _why(attempt)
        line = (
            f"{attempt.started_at:%Y-%m-%d %H:%M:%S}  {outcome}  {answer:18}"
            f" {attempt.duration // _MILLISECOND:>6} ms  #{attempt.number:<2}"
            f"  {_cut(attempt.event_type, 16)}  {_cut(attempt.webhook_name, 20)}  {attempt.delivery_id}"
        )
        # Not every terminal has every customer's letters.
        encoding = getattr(self.stdout, "encoding", None) or "utf-8"
        return line.encode(encoding, "backslashreplace").decode(encoding)


def _why(attempt: Told) -> str:
    return describe(attempt.reason) if attempt.reason else ""


def _cut(text: str, width: int) -> str:
    """Return a text as what can be printed, on so many columns."""
    shown = printable(text)
    return f"{shown:{width}}" if len(shown) <= width else f"{shown[: width - 2]}.."


def _as_json(attempt: Told) -> str:
    """Return it under the names the native API has for an attempt."""
    told = {
        "id": attempt.id,
        "number": attempt.number,
        "started_at": attempt.started_at,
        "duration_ms": attempt.duration // _MILLISECOND,
        "succeeded": attempt.reason is None,
        "http_status": attempt.http_status,
        "reason_code": attempt.reason,
        "event": attempt.event_type,
        "webhook_id": attempt.webhook_id,
        "webhook_name": attempt.webhook_name,
        "delivery_id": attempt.delivery_id,
    }
    return json.dumps(told, cls=DjangoJSONEncoder)


def _wait(seconds: float) -> None:
    """Wait; no longer than there is somebody who reads.

    :raises BrokenPipeError: nobody does any more, which writing would only tell when there is a line.
    """
    reader = select.poll()
    reader.register(sys.stdout, 0)
    if reader.poll(seconds * 1000):
        raise BrokenPipeError
