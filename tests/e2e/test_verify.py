"""`manage.py verify` as an operator runs it, beside real workers."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.stack import Stack, installation
from tests.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.postgresql]

# All that may be there when it has gone, beside the worker's own row.
LEFT = ("account", "webhook", "event", "delivery", "attempt", "failure", "trafficminute", "auditentry")


@pytest.fixture
def stack() -> Iterator[Stack]:
    """An installation whose leases are short."""
    with installation(WEBHOOKS_LEASE_GRACE="3") as stack:
        yield stack


def workers(stack: Stack, number: int) -> None:
    alive = "SELECT count(*) FROM deliveries_worker"
    wait_until(lambda: stack.rows(alive) == [(number,)], timeout=30, what="heartbeats")


def verify(stack: Stack, *options: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "manage.py", "verify", "--json", *options],
        cwd=stack.code,
        env=stack.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def outcome(process: "subprocess.Popen[str]") -> tuple[int, dict[str, Any], str]:
    said, errors = process.communicate(timeout=90)
    return process.returncode, json.loads(said) if said else {}, errors


def left(stack: Stack) -> dict[str, int]:
    return {name: stack.rows(f"SELECT count(*) FROM deliveries_{name}")[0][0] for name in LEFT}


class TestVerify:
    def test_finds_nothing_lost_where_nothing_is(self, stack: Stack) -> None:
        stack.start_worker()
        workers(stack, 1)

        code, told, errors = outcome(verify(stack, "--events", "200", "--rate", "100"))

        assert code == 0, errors
        assert (told["published"], told["arrived"], told["lost"]) == (200, 200, 0)
        assert (told["duplicates"], told["signature_failures"]) == (0, 0)
        assert 0 < told["p50_ms"] <= told["p95_ms"] <= told["p99_ms"] < 30_000
        assert not any(left(stack).values())

    def test_loses_nothing_with_a_worker_it_killed(self, stack: Stack) -> None:
        stack.start_worker(concurrency=2)
        workers(stack, 2)
        before = set(stack.rows("SELECT pid FROM deliveries_worker"))

        code, told, errors = outcome(
            verify(stack, "--events", "400", "--rate", "100", "--kill-worker", "--yes")
        )

        assert code == 0, errors
        assert (told["arrived"], told["lost"]) == (400, 0)
        assert (told["killed"],) in before
        assert not any(left(stack).values())
        replaced = "SELECT pid FROM deliveries_worker WHERE seen_at > now() - interval '8 s'"
        wait_until(lambda: len(set(stack.rows(replaced)) - before) == 1, timeout=20, what="another child")

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_leaves_nothing_behind_when_it_is_interrupted(self, stack: Stack, number: signal.Signals) -> None:
        stack.start("deliver", "manage", "deliver")
        workers(stack, 1)
        process = verify(stack, "--events", "5000", "--rate", "200")
        wait_until(lambda: left(stack)["attempt"] > 100, timeout=30, what="traffic")

        process.send_signal(number)
        code, told, errors = outcome(process)

        assert code == 1
        assert "Stopped before the end" in errors
        assert 100 < told["published"] < 5000
        assert not any(left(stack).values())

    def test_says_which_settings_let_its_receiver_through(self, stack: Stack) -> None:
        stack.start("deliver", "manage", "deliver")
        workers(stack, 1)
        stack.environment |= {"WEBHOOKS_ALLOWED_NETWORKS": "", "WEBHOOKS_REQUIRE_HTTPS": "true"}

        code, told, errors = outcome(verify(stack))

        assert (code, told) == (1, {})
        for setting in ("ALLOWED_NETWORKS", "ALLOW_PRIVATE_NETWORKS", "REQUIRE_HTTPS"):
            assert f"WEBHOOKS_{setting}" in errors
        assert "Traceback" not in errors
        assert not any(left(stack).values())
