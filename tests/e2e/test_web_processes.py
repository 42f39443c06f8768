"""Clients that keep their connections, at a web server of two processes."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from http.client import HTTPConnection

import pytest

from tests.e2e.stack import Stack, installation
from tests.measuring import footprint
from tests.waiting import wait_until

pytestmark = [pytest.mark.postgresql, pytest.mark.slow]

CLIENTS = 8
# As many has each process here.
THREADS = 8
SOON = 2.0


class Clients(ExitStack):
    """Connections that are kept."""

    def __init__(self, stack: Stack) -> None:
        super().__init__()
        self.stack = stack
        self.connections: list[HTTPConnection] = []

    def come(self, number: int) -> None:
        """Connect so many more, and ask something by each."""
        for _ in range(number):
            connection = HTTPConnection("127.0.0.1", self.stack.port, timeout=10)
            self.connections.append(self.enter_context(closing(connection)))
            self.ask(connection)

    def ask(self, connection: HTTPConnection) -> None:
        """Ask by a connection."""
        connection.request("GET", "/api/v1/agents", headers={"Authorization": f"Bearer {self.stack.key}"})
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 200

    def at(self, pid: int) -> int:
        """Return how many of them a process has."""
        held = footprint.of(pid)
        ports = [connection.sock.getsockname()[1] for connection in self.connections]
        return held.connections(ports) if held else 0


@pytest.fixture
def stack() -> Iterator[Stack]:
    with installation() as stack:
        stack.make_account()
        stack.start_web(workers=2)
        yield stack


@pytest.fixture
def processes(stack: Stack) -> list[int]:
    """Those that answer."""
    _, *processes = footprint.family(stack.processes[-1].pid)
    assert len(processes) == 2
    return processes


def test_are_shared_evenly(stack: Stack, processes: list[int]) -> None:
    with Clients(stack) as clients:
        # One of the processes may still be starting, and does not get those that come before.
        def both_serve() -> bool:
            clients.come(1)
            return all(map(clients.at, processes))

        wait_until(both_serve, what="both processes to serve", timeout=20)

        clients.come(3 * CLIENTS)

        one, other = map(clients.at, processes)
        assert abs(one - other) <= 2


def test_go_to_the_other_where_one_stands_still(stack: Stack, processes: list[int]) -> None:
    os.kill(processes[0], signal.SIGSTOP)
    try:
        with Clients(stack) as clients:
            began = time.monotonic()
            clients.come(CLIENTS)

            assert time.monotonic() - began < SOON
            assert clients.at(processes[1]) == CLIENTS
    finally:
        os.kill(processes[0], signal.SIGCONT)


def test_are_shared_with_who_comes_for_one_that_died(stack: Stack, processes: list[int]) -> None:
    with Clients(stack) as clients:
        os.kill(processes[0], signal.SIGKILL)
        clients.come(CLIENTS)

        def are_shared() -> bool:
            clients.come(1)
            _, *now = footprint.family(stack.processes[-1].pid)
            held = [clients.at(pid) for pid in now if pid != processes[0]]
            return len(held) == 2 and min(held) >= CLIENTS / 2

        wait_until(are_shared, what="a process in its place, with as many", timeout=20, every=0.1)


def test_hold_no_thread_while_they_say_nothing(stack: Stack, processes: list[int]) -> None:
    with Clients(stack) as clients:
        clients.come(2 * THREADS)

        began = time.monotonic()
        clients.come(1)

        assert time.monotonic() - began < SOON
