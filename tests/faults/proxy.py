"""A TCP proxy that can be told to behave like a bad network."""

import asyncio
import socket
import struct
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import Any

_PIECE = 64 * 1024
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Proxy:
    """A port in front of another one on this machine. Each verb holds until the next.

    The verbs may be used from any thread, and return once they hold.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self._delay = 0.0
        self._half_closed = self._resetting = False
        self._clients: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None] | None] = set()
        self._flowing, self._ended = asyncio.Event(), asyncio.Event()
        self._flowing.set()
        self.port = 0

    def forward(self) -> None:
        """Let everything through; what a blackhole kept back arrives now."""
        self._tell(self._set())

    def blackhole(self) -> None:
        """Keep every connection open and accept new ones, and forward nothing."""
        self._tell(self._set(flowing=False))

    def forget(self) -> None:
        """Keep the connections there are open and silent for good, and let new ones through.

        As a firewall does that has started anew.
        """
        self._tell(self._set(forgetting=True))

    def lead_to(self, target: int) -> None:
        """Connect whoever comes from now on with another port; those who are here stay where they are."""
        self._target = target

    def delay(self, seconds: float) -> None:
        """Let everything through, each piece after this time."""
        self._tell(self._set(delay=seconds))

    def reset(self) -> None:
        """Reset every connection, and each new one as soon as it is made."""
        self._tell(self._set(resetting=True))

    def half_close(self) -> None:
        """Say to every client, new ones included, that nothing more comes, and go on taking what it sends."""
        self._tell(self._set(half_closed=True))

    def connections(self) -> int:
        """Return how many clients are connected."""
        return len(self._clients)

    def run(self, listening: threading.Event) -> None:
        """Serve until `end`."""
        asyncio.run(self._listen(listening))

    def end(self) -> None:
        """Drop everything and stop serving."""
        self._loop.call_soon_threadsafe(self._ended.set)

    def _tell(self, verb: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(verb, self._loop).result(10)

    async def _set(
        self,
        *,
        flowing: bool = True,
        delay: float = 0.0,
        resetting: bool = False,
        half_closed: bool = False,
        forgetting: bool = False,
    ) -> None:
        self._delay, self._resetting, self._half_closed = delay, resetting, half_closed
        if resetting:
            for client in list(self._clients):
                _reset(client)
        elif half_closed:
            for client in list(self._clients):
                _say_the_end(client)
        if forgetting:
            self._flowing.clear()
            self._flowing = asyncio.Event()
        if flowing:
            self._flowing.set()
        else:
            self._flowing.clear()

    async def _listen(self, listening: threading.Event) -> None:
        self._loop = asyncio.get_running_loop()
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=512)
        self.port = server.sockets[0].getsockname()[1]
        listening.set()
        async with server:
            await self._ended.wait()

    async def _serve(self, from_client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        self._clients.add(to_client)
        # asyncio alone forgets a task whose connection it has lost, and then nobody holds it any more.
        task = asyncio.current_task()
        self._tasks.add(task)
        try:
            await self._connect(from_client, to_client)
        except* OSError:
            # Either end is gone; the other shall not think otherwise.
            _reset(to_client)
        except* asyncio.CancelledError:
            _reset(to_client)
        finally:
            self._clients.discard(to_client)
            self._tasks.discard(task)
            to_client.close()

    async def _connect(self, from_client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        if self._resetting:
            raise ConnectionResetError
        if self._half_closed:
            _say_the_end(to_client)
        flowing = self._flowing
        await flowing.wait()
        from_server, to_server = await asyncio.open_connection("127.0.0.1", self._target)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pump(from_client, to_server, flowing))
                both.create_task(self._pump(from_server, to_client, flowing))
        finally:
            to_server.close()

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, flowing: asyncio.Event
    ) -> None:
        while piece := await reader.read(_PIECE):
            if self._delay:
                await asyncio.sleep(self._delay)
            await flowing.wait()
            if writer.transport.is_closing():
                raise ConnectionResetError
            if not _has_ended(writer):
                writer.write(piece)
                await writer.drain()
        await flowing.wait()
        _say_the_end(writer)


def _say_the_end(writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        if writer.can_write_eof() and not writer.transport.is_closing() and not _has_ended(writer):
            writer.write_eof()


def _has_ended(writer: asyncio.StreamWriter) -> bool:
    return bool(getattr(writer.transport, "_eof", False))


def _reset(writer: asyncio.StreamWriter) -> None:
    connection: socket.socket | None = writer.get_extra_info("socket")
    with suppress(OSError):
        if connection is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    writer.transport.abort()


@contextmanager
def proxying(target: int) -> Iterator[Proxy]:
    """Run a proxy in front of a port of 127.0.0.1, in a thread."""
    proxy, listening = Proxy(target), threading.Event()
    thread = threading.Thread(target=proxy.run, args=[listening], name="proxy", daemon=True)
    thread.start()
    assert listening.wait(10)
    try:
        yield proxy
    finally:
        proxy.end()
        thread.join(10)
