"""Clients that keep their connections, at a web server of two processes."""

import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from http.client import HTTPConnection

import pytest

from tests.e2e.stack import Stack, installation
from tests.measuring import footprint
from tests.waiting import wait_until

pytestmark = [pytest.mark.postgresql, pytest.mark.slow]

CLIENTS = 24
# As many has each process here.
THREADS = 8
SOON = 5.0


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

    def ask(self, connection: HTTPConnection) -> str | None:
        """Ask by a connection, and return whether it is to be closed."""
        connection.request("GET", "/api/v1/agents", headers={"Authorization": f"Bearer {self.stack.key}"})
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 200
        return answer.getheader("Connection")

    def at(self, pid: int) -> int:
        """Return how many of them a process has."""
        held = footprint.of(pid)
        ports = [connection.sock.getsockname()[1] for connection in self.connections]
        return held.connections(ports) if held else 0


@pytest.fixture
def stack() -> Iterator[Stack]:
    with installation() as stack:
        # Connections are kept for as long as a test goes on, on however slow a machine.
        stack.environment["GUNICORN_CMD_ARGS"] = "--keep-alive 60"
        stack.make_account()
        stack.start_web(workers=2)
        yield stack


@pytest.fixture
def processes(stack: Stack) -> list[int]:
    """Those that answer, both ready to: what comes before the other has started is for one alone."""
    _, *processes = footprint.family(stack.processes[-1].pid)
    assert len(processes) == 2

    # Who comes while a process is stopped waits for it, unless the other takes them.
    for waited_for, stopped in (processes, processes[::-1]):
        os.kill(stopped, signal.SIGSTOP)
        try:
            with Clients(stack) as clients:
                clients.come(1)
                assert clients.at(waited_for) == 1
        finally:
            os.kill(stopped, signal.SIGCONT)
    return processes


def test_are_shared_evenly(stack: Stack, processes: list[int]) -> None:
    with Clients(stack) as clients:
        clients.come(CLIENTS)

        one, other = map(clients.at, processes)
        assert one + other == CLIENTS
        assert abs(one - other) <= 2


def test_go_to_the_other_where_one_stands_still(stack: Stack, processes: list[int]) -> None:
    with Clients(stack) as clients:
        os.kill(processes[0], signal.SIGSTOP)
        try:
            clients.come(CLIENTS)

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
        clients.come(4 * THREADS)
        began = time.monotonic()

        clients.come(1)

        assert time.monotonic() - began < SOON


def test_are_answered_what_they_ask_at_one_blow(stack: Stack, processes: list[int]) -> None:
    request = f"GET /api/v1/agents HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {stack.key}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", stack.port), timeout=10) as client:
        client.sendall(request.encode() * 3)

        answers = b""
        while answers.count(b"HTTP/1.1 200 OK") < 3:
            answers += client.recv(65_536) or pytest.fail(f"closed after {answers!r}")


def test_are_told_to_go_by_a_process_that_ends(stack: Stack, processes: list[int]) -> None:
    with Clients(stack) as clients:
        clients.come(2)
        for pid in processes:
            os.kill(pid, signal.SIGTERM)

        closed = [clients.ask(connection) for connection in clients.connections]

        assert closed == ["close", "close"]
