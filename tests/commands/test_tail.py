"""manage.py tail."""

import io
import json
import os
import pty
import signal
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db import InterfaceError, OperationalError, connection
from django.utils import timezone

from deliveries.management.commands import tail
from deliveries.models import Attempt, Webhook
from deliveries.reasons import Reason
from tests import builders
from tests.commands.conftest import Run, Said
from tests.commands.installation import PATIENCE, Installation
from tests.servers.process import free_port

SECOND = timedelta(seconds=1)


def an_attempt(webhook: Webhook | None = None, *, ago: timedelta = SECOND, **changes: Any) -> Attempt:
    """Return one that began a while ago, with a delivery of its own."""
    return builders.an_attempt(
        builders.a_delivery(webhook), **{"started_at": timezone.now() - ago, **changes}
    )


def told(said: Said) -> list[str]:
    """Return the ids of the deliveries in lines."""
    return [line.split()[-1] for line in said.stdout.splitlines()]


@pytest.mark.django_db
class TestLines:
    def test_say_when_what_how_long_and_whose(self, run: Run) -> None:
        webhook = builders.a_webhook(name="CRM")
        ok = an_attempt(webhook, ago=2 * SECOND, http_status=200)
        failed = an_attempt(
            webhook,
            number=12,
            http_status=None,
            reason_code=Reason.CONNECTION_TIMEOUT,
            duration=30 * SECOND,
        )

        lines = run("tail", "--no-follow").stdout.splitlines()

        assert lines == [
            f"{ok.started_at:%Y-%m-%d %H:%M:%S}  ok      HTTP 200              142 ms  #1 "
            f"  call.ended        CRM                   {ok.delivery_id}",
            f"{failed.started_at:%Y-%m-%d %H:%M:%S}  failed  Connection timeout  30000 ms  #12"
            f"  call.ended        CRM                   {failed.delivery_id}",
        ]

    def test_are_one_each_of_a_bounded_width_whatever_is_in_a_name(self, run: Run) -> None:
        event = builders.an_event(type="a." + 90 * "b")
        webhook = builders.a_webhook(event.account, name="\x1b[2J\r\nok  " + 200 * "\u202e")
        delivery = builders.a_delivery(webhook, event=event)
        builders.an_attempt(
            delivery,
            started_at=timezone.now(),
            http_status=None,
            reason_code=Reason.WORKER_KILLED,
            duration=120 * SECOND,
        )

        said = run("tail", "--no-follow").stdout

        assert said.endswith(f"  a.bbbbbbbbbbbb..  \\x1b[2J\\r\\nok  \\u2..  {delivery.pk}\n")
        assert said.count("\n") == 1
        assert "\x1b" not in said
        assert len(said) < 160

    def test_spell_out_what_a_terminal_has_no_letters_for(self) -> None:
        an_attempt(builders.a_webhook(name="Ünïted \u96ea"))
        latin = io.TextIOWrapper(io.BytesIO(), encoding="latin-1")

        call_command("tail", "--no-follow", stdout=latin)

        latin.seek(0)
        assert "Ünïted \\u96ea" in latin.read()

    def test_are_objects_for_programs(self, run: Run) -> None:
        webhook = builders.a_webhook(name="CRM\x1b")
        attempt = an_attempt(webhook)

        said = run("tail", "--no-follow", "--json").stdout

        assert "\x1b" not in said
        started_at = attempt.started_at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        assert json.loads(said) == {
            "id": str(attempt.pk),
            "number": 1,
            "started_at": started_at,
            "duration_ms": 142,
            "succeeded": False,
            "http_status": 500,
            "reason_code": "http_status",
            "event": "call.ended",
            "webhook_id": str(webhook.pk),
            "webhook_name": "CRM\x1b",
            "delivery_id": str(attempt.delivery_id),
        }

    def test_have_no_colours_but_on_a_terminal(self) -> None:
        an_attempt()
        plain, coloured = io.StringIO(), io.StringIO()

        call_command("tail", "--no-follow", stdout=plain)
        call_command("tail", "--no-follow", stdout=coloured, force_color=True)

        assert "  failed  " in plain.getvalue()
        assert "m" + "failed" + "\x1b[" in coloured.getvalue()


class TestOptions:
    def test_begin_with_the_last_ten_of_the_last_hour(self, run: Run) -> None:
        an_attempt(ago=3601 * SECOND)
        attempts = [an_attempt(ago=number * SECOND) for number in range(3590, 3578, -1)]

        assert told(run("tail", "--no-follow")) == [str(each.delivery_id) for each in attempts[2:]]

    @pytest.mark.parametrize(("options", "count"), [
        (["-n", "0"], 0),
        (["--lines", "3"], 3),
        (["--since", "1m"], 13),
        (["--since", "1m", "-n", "12"], 12),
        (["--since", "20s"], 7),
    ])  # fmt: skip
    def test_begin_where_they_are_told_to(self, run: Run, options: list[str], count: int) -> None:
        attempts = [an_attempt(ago=(25 - number) * SECOND) for number in range(13)]

        assert told(run("tail", "--no-follow", *options)) == [
            str(each.delivery_id) for each in attempts[len(attempts) - count :]
        ]

    def test_begin_at_a_moment(self, run: Run) -> None:
        _, newer = an_attempt(ago=40 * SECOND), an_attempt(ago=20 * SECOND)
        moment = timezone.now() - 30 * SECOND

        assert told(run("tail", "--no-follow", "--since", moment.isoformat())) == [str(newer.delivery_id)]

    def test_keep_what_failed_and_a_webhook(self, run: Run) -> None:
        webhook = builders.a_webhook()
        wanted, _, _ = an_attempt(webhook), an_attempt(webhook, http_status=200), an_attempt()

        said = run("tail", "--no-follow", "--failed", "--webhook", str(webhook.pk))

        assert told(said) == [str(wanted.delivery_id)]

    def test_refuse_a_webhook_that_was_never_there(self, run: Run) -> None:
        unknown = builders.an_event().pk

        with pytest.raises(CommandError, match=f"There is no webhook {unknown}."):
            run("tail", "--webhook", str(unknown))

    @pytest.mark.parametrize(("option", "text", "hint"), [
        ("--since", "yesterday", "how long ago, such as 15m or 2h, or a moment with its zone"),
        ("--since", "2026-03-15", "a moment with its zone"),
        ("--lines", "-1", "a whole number, from 0 to 99999"),
        ("--lines", "100000", "a whole number"),
        ("--webhook", "CRM", "write an id"),
    ])  # fmt: skip
    def test_say_what_to_write(self, run: Run, option: str, text: str, hint: str) -> None:
        with pytest.raises(CommandError, match=hint):
            run("tail", f"{option}={text}")


Follow = Callable[..., Said]


@pytest.fixture
def follow(run: Run, monkeypatch: pytest.MonkeyPatch) -> Follow:
    """Follow while these things happen, one before each look; then somebody presses Ctrl-C."""

    def follow(*steps: Callable[[], object], options: tuple[str, ...] = ()) -> Said:
        happening = iter(steps)

        def wait(seconds: float) -> None:
            assert seconds >= tail.EVERY
            step = next(happening, None)
            if step is None:
                raise KeyboardInterrupt
            step()

        monkeypatch.setattr(tail, "_wait", wait)
        return run("tail", *options)

    return follow


def nothing() -> None:
    """Happen."""


class TestFollowing:
    def test_tells_each_once_as_it_is_recorded(self, follow: Follow) -> None:
        before = an_attempt()
        recorded: list[Attempt] = []

        said = follow(
            nothing,
            lambda: recorded.append(an_attempt()),
            nothing,
            # It began before, and took longer.
            lambda: recorded.append(an_attempt(ago=100 * SECOND, duration=99 * SECOND)),
            nothing,
        )

        assert told(said) == [str(each.delivery_id) for each in (before, *recorded)]
        assert said.stderr == ""

    def test_says_how_many_are_left_out(self, follow: Follow, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(tail, "MOST", 3)

        said = follow(lambda: [an_attempt(ago=SECOND) for _ in range(5)], nothing)

        assert len(told(said)) == 3
        assert said.stderr == "2 more are left out; --failed and --webhook have fewer.\n"

    @pytest.mark.django_db(transaction=True)
    @pytest.mark.parametrize("kind", [OperationalError, InterfaceError])
    def test_says_once_that_the_database_is_away_and_goes_on(
        self, follow: Follow, kind: type[Exception]
    ) -> None:
        away = [False]

        def fail(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
            if away[0] and "deliveries_attempt" in sql:
                raise kind("server closed\n\tthe connection")
            return execute(sql, params, many, context)

        def turn(*, off: bool) -> Callable[[], None]:
            return lambda: away.__setitem__(0, off)

        with connection.execute_wrapper(fail):
            said = follow(
                lambda: (an_attempt(), away.__setitem__(0, True)),
                nothing,
                nothing,
                turn(off=False),
                nothing,
            )

        assert len(told(said)) == 1
        assert said.stderr.splitlines() == [
            "The database does not answer: server closed the connection; waiting.",
            "The database answers again.",
        ]

    def test_says_what_is_missing_after_a_long_time_away(
        self, follow: Follow, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        later = timezone.now() + 600 * SECOND
        monkeypatch.setattr("deliveries.clock.now", iter([timezone.now(), later]).__next__)

        said = follow(nothing)

        assert said.stderr == f"What ended before {later - 120 * SECOND:%H:%M:%S} is missing.\n"

    def test_rests_for_longer_where_a_look_takes_long(
        self, run: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        rests = []

        def wait(seconds: float) -> None:
            rests.append(seconds)
            if len(rests) == 2:
                raise KeyboardInterrupt

        def slow(execute: Any, *arguments: Any) -> Any:
            time.sleep(0.2)
            return execute(*arguments)

        monkeypatch.setattr(tail, "_wait", wait)
        with connection.execute_wrapper(slow):
            run("tail")

        assert rests[0] == 1
        assert 2 <= rests[1] < 20


@pytest.fixture
def failing(installation: Installation) -> Callable[[], None]:
    """Have an event published, and an attempt made in vain."""

    def fail() -> None:
        installation.publish(f"http://127.0.0.1:{free_port()}/", count=1)
        installation.manage("deliver", "--once")

    return fail


@pytest.fixture
def an_attempt_before(failing: Callable[[], None]) -> None:
    """One that is there."""
    failing()


@pytest.mark.slow
@pytest.mark.sqlite
@pytest.mark.postgresql
@pytest.mark.usefixtures("an_attempt_before")
class TestProcess:
    def test_follows_on_a_terminal_until_ctrl_c(
        self, installation: Installation, failing: Callable[[], None]
    ) -> None:
        screen, terminal = pty.openpty()
        process = installation.start("tail", stdout=terminal)
        os.close(terminal)
        assert b"failed" in os.read(screen, 1000)

        failing()
        second = os.read(screen, 1000)
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=PATIENCE)

        assert b"Connection refused" in second
        assert second.count(b"\n") == 1
        assert (process.returncode, stderr) == (0, "")
        os.close(screen)

    def test_ends_quietly_when_nobody_reads_any_more(self, installation: Installation) -> None:
        process = installation.start("tail")
        assert process.stdout is not None
        assert process.stderr is not None
        assert "failed" in process.stdout.readline()

        process.stdout.close()

        # Also where nothing more comes.
        assert process.wait(PATIENCE) == 0
        assert process.stderr.read() == ""
        process.stderr.close()

    def test_ends_quietly_when_nobody_reads_all(self, installation: Installation) -> None:
        reading, writing = os.pipe()
        os.close(reading)

        process = installation.start("tail", "--no-follow", stdout=writing)
        os.close(writing)

        _, stderr = process.communicate(timeout=PATIENCE)
        assert (process.returncode, stderr) == (0, "")


@pytest.mark.slow
@pytest.mark.postgresql
@pytest.mark.usefixtures("an_attempt_before")
class TestProcessWithoutADatabase:
    def test_goes_on_when_there_is_one_again(
        self, installation: Installation, failing: Callable[[], None]
    ) -> None:
        process = installation.start("tail")
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        server, name = installation.database_url.rsplit("/", 1)
        with psycopg.connect(f"{server}/postgres", autocommit=True) as administrator:
            administrator.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
            administrator.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name]
            )
            away = process.stderr.readline()
            time.sleep(2)
            administrator.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")

        back = process.stderr.readline()
        failing()
        assert "Connection refused" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=PATIENCE)

        assert away.startswith("The database does not answer: ")
        assert back == "The database answers again.\n"
        assert (process.returncode, stderr) == (0, "")
