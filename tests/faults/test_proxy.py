"""The proxy itself."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from tests.faults.proxy import Proxy, proxying
from tests.waiting import wait_until


@pytest.fixture
def echo() -> Iterator[int]:
    """A server that sends back what it gets; its port."""

    def serve() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=answer, args=[connection], daemon=True).start()

    def answer(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            while piece := connection.recv(65_536):
                received.append(piece)
                connection.sendall(piece)

    received: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
    thread.join()


@pytest.fixture
def proxy(echo: int) -> Iterator[Proxy]:
    """A proxy in front of it."""
    with proxying(echo) as proxy:
        yield proxy


def connected(proxy: Proxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=5)


def ask(client: socket.socket, words: bytes = b"hello") -> bytes:
    client.sendall(words)
    return client.recv(65_536)


class TestProxy:
    def test_forgets_the_connections_there_are_and_no_others(self, proxy: Proxy) -> None:
        with connected(proxy) as forgotten:
            assert ask(forgotten) == b"hello"
            proxy.forget()
            forgotten.settimeout(0.3)

            with connected(proxy) as fresh:
                assert ask(fresh) == b"hello"
                with pytest.raises(TimeoutError):
                    ask(forgotten)
                proxy.forward()
                with pytest.raises(TimeoutError):
                    forgotten.recv(1)

    def test_forwards_both_ways_and_the_end_of_either(self, proxy: Proxy) -> None:
        with connected(proxy) as client:
            assert ask(client) == b"hello"
            client.shutdown(socket.SHUT_WR)
            assert client.recv(10) == b""

    def test_keeps_everything_open_and_silent_as_a_blackhole(self, proxy: Proxy) -> None:
        with connected(proxy) as before:
            assert ask(before) == b"hello"
            proxy.blackhole()
            with connected(proxy) as since:
                for client in (before, since):
                    client.settimeout(0.3)
                    with pytest.raises(TimeoutError):
                        ask(client)

                proxy.forward()
                for client in (before, since):
                    client.settimeout(5)
                    assert client.recv(10) == b"hello"

    def test_resets_what_is_there_and_what_comes(self, proxy: Proxy) -> None:
        with connected(proxy) as before:
            assert ask(before) == b"hello"
            proxy.reset()
            with pytest.raises(ConnectionResetError):
                before.recv(10)
        with pytest.raises(ConnectionResetError), connected(proxy) as since:
            since.recv(10)

        proxy.forward()
        with connected(proxy) as client:
            assert ask(client) == b"hello"

    def test_delays_each_piece(self, proxy: Proxy) -> None:
        proxy.delay(0.2)
        with connected(proxy) as client:
            began = time.monotonic()
            assert ask(client) == b"hello"
            assert 0.4 <= time.monotonic() - began < 2

    def test_half_closes(self, proxy: Proxy) -> None:
        with connected(proxy) as before:
            assert ask(before) == b"hello"
            proxy.half_close()
            with connected(proxy) as since:
                for client in (before, since):
                    assert client.recv(10) == b""
                    client.sendall(b"still taken")

    def test_says_that_nobody_is_behind_it_by_a_reset(self, echo: int) -> None:
        with (
            proxying(1) as proxy,
            pytest.raises(ConnectionResetError),
            connected(proxy) as client,
        ):
            client.recv(10)

    def test_forgets_clients_that_have_gone(self, proxy: Proxy) -> None:
        with connected(proxy) as client:
            assert ask(client) == b"hello"
            assert proxy.connections() == 1

        wait_until(lambda: proxy.connections() == 0, what="no client")
