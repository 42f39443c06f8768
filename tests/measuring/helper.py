"""Processes of our own that take orders, lines of JSON, on their standard input, and end with it."""

import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from signal import SIGKILL
from typing import Any

from tests.servers.process import ending_with_parent

Obey = Callable[[str, dict[str, Any]], object]
ObeyLater = Callable[[str, dict[str, Any]], Awaitable[object]]


class Helper:
    """The process as whoever gives the orders sees it; it does one after the other."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        self._lock = threading.Lock()

    @property
    def pid(self) -> int:
        """The process itself."""
        return self._process.pid

    def ask(self, verb: str, **order: object) -> Any:
        """Give an order and return the answer."""
        with self._lock:
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            self._process.stdin.write(json.dumps({"verb": verb, **order}) + "\n")
            self._process.stdin.flush()
            answer = self._process.stdout.readline()
        assert answer, f"{self._process.args!r} has died"
        return json.loads(answer)


@contextmanager
def helping(module: str, *arguments: str, environment: Mapping[str, str] | None = None) -> Iterator[Helper]:
    """Run a module that obeys for the length of the block.

    :param environment: what it gets instead of ours.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,
        preexec_fn=ending_with_parent(SIGKILL),
    )
    with process:
        try:
            yield Helper(process)
        finally:
            process.kill()


def obey(act: Obey) -> None:
    """Do what is asked, until nobody asks any more."""
    for line in sys.stdin:
        order = json.loads(line)
        _answer(act(order.pop("verb"), order))


async def obey_meanwhile(act: ObeyLater) -> None:
    """Do what is asked while the loop does other things too, until nobody asks any more."""
    orders = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(orders), sys.stdin
    )
    while line := await orders.readline():
        order = json.loads(line)
        _answer(await act(order.pop("verb"), order))


def _answer(answer: object) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()
