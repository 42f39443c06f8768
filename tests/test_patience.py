import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from webhooks_project import patience
from webhooks_project.patience import PatientSocket

Pair = tuple[socket.socket, PatientSocket]

# More than the buffers of both ends hold.
MUCH = b"x" * 16_000_000
# In seconds: tells what has an end from what has none or a longer one, also on a busy machine.
IN_TIME = 8


@pytest.fixture
def pair(monkeypatch: pytest.MonkeyPatch) -> Iterator[Pair]:
    """Both ends of a connection, the client's first, and a limit that tests can wait for."""
    monkeypatch.setattr(patience, "LIMIT", 0.4)
    monkeypatch.setattr(patience, "LINGER", 0.2)
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        client = stack.enter_context(socket.create_connection(listener.getsockname(), timeout=5))
        accepted, _ = listener.accept()
        yield client, stack.enter_context(PatientSocket.instead_of(accepted))


def while_dripping(client: socket.socket, act: Callable[[], object]) -> None:
    """Do something while the client sends a byte every few milliseconds."""
    over = threading.Event()

    def drip() -> None:
        while not over.wait(0.05):
            client.send(b"x")

    dripping = threading.Thread(target=drip)
    dripping.start()
    try:
        act()
    finally:
        over.set()
        dripping.join()


def take(client: socket.socket, size: int) -> None:
    """Read so much, as fast as it comes."""
    while size:
        size -= len(client.recv(size))


def read_forever(patient: PatientSocket) -> None:
    """Read until there is an end or an error."""
    while patient.recv(100):
        pass


class TestReading:
    def test_ends_for_who_is_silent(self, pair: Pair, within: Callable[[float], None]) -> None:
        with pytest.raises(ConnectionResetError):
            pair[1].recv(1)
        within(IN_TIME)

    def test_ends_for_who_sends_byte_after_byte(self, pair: Pair, within: Callable[[float], None]) -> None:
        client, patient = pair

        with pytest.raises(ConnectionResetError):
            while_dripping(client, lambda: read_forever(patient))
        within(IN_TIME)

    def test_ends_through_a_file_as_well(self, pair: Pair, within: Callable[[float], None]) -> None:
        client, patient = pair

        with patient.makefile("rb") as file, pytest.raises(ConnectionResetError):
            while_dripping(client, file.readline)
        within(IN_TIME)

    def test_takes_what_came_while_nobody_read(self, pair: Pair) -> None:
        client, patient = pair
        client.sendall(b"in time")
        time.sleep(0.5)

        assert patient.recv(100) == b"in time"

    def test_stays_ended(self, pair: Pair) -> None:
        client, patient = pair
        with pytest.raises(ConnectionResetError):
            patient.recv(1)
        client.sendall(b"too late")
        patient.expect_request()

        with pytest.raises(ConnectionResetError):
            patient.recv(1)

    def test_leaves_who_was_too_slow_its_answer(self, pair: Pair) -> None:
        client, patient = pair
        with pytest.raises(ConnectionResetError):
            patient.recv(1)

        patient.sendall(b"too slow")

        assert client.recv(100) == b"too slow"

    def test_has_its_time_for_each_request(self, pair: Pair) -> None:
        client, patient = pair
        for _ in range(3):
            time.sleep(0.25)
            patient.expect_request()
            client.sendall(b"x")
            assert patient.recv(1) == b"x"


class TestSending:
    @pytest.mark.parametrize("pieces", [1, 100])
    def test_ends_for_who_does_not_read(
        self, pair: Pair, pieces: int, within: Callable[[float], None]
    ) -> None:
        piece = MUCH[: len(MUCH) // pieces]

        def send() -> None:
            for _ in range(pieces):
                pair[1].sendall(piece)

        with pytest.raises(ConnectionResetError):
            send()
        within(IN_TIME)

    def test_ends_for_who_reads_a_little_at_a_time(self, pair: Pair, within: Callable[[float], None]) -> None:
        client, patient = pair
        over = threading.Event()

        def sip() -> None:
            while not over.wait(0.02):
                client.recv(4096)

        sipping = threading.Thread(target=sip)
        sipping.start()
        try:
            with pytest.raises(ConnectionResetError):
                patient.sendall(MUCH)
        finally:
            over.set()
            sipping.join()
        within(IN_TIME)

    def test_ends_for_files(self, pair: Pair, tmp_path: Path, within: Callable[[float], None]) -> None:
        (tmp_path / "file").write_bytes(MUCH)

        with (tmp_path / "file").open("rb") as file, pytest.raises(ConnectionResetError):
            pair[1].sendfile(file)
        within(IN_TIME)

    @pytest.mark.parametrize(("offset", "count", "sent"), [(0, None, 10), (3, None, 7), (3, 4, 4), (0, 0, 0)])
    def test_sends_the_part_of_a_file_that_is_asked_for(
        self, pair: Pair, tmp_path: Path, offset: int, count: int | None, sent: int
    ) -> None:
        (tmp_path / "file").write_bytes(b"0123456789")

        with (tmp_path / "file").open("rb") as file:
            assert pair[1].sendfile(file, offset, count) == sent
        pair[1].shutdown(socket.SHUT_WR)

        assert pair[0].recv(100) == b"0123456789"[offset : offset + sent]

    def test_counts_no_time_the_service_takes(self, pair: Pair) -> None:
        client, patient = pair
        for _ in range(2):
            time.sleep(0.5)
            receiving = threading.Thread(target=take, args=(client, len(MUCH)))
            receiving.start()

            patient.sendall(MUCH)

            receiving.join()


class TestLingering:
    def test_lets_the_client_read_the_answer(self, pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
        client, patient = pair
        monkeypatch.setattr(patience, "LINGER", 5)

        def send_much() -> None:
            client.sendall(MUCH)
            client.shutdown(socket.SHUT_WR)

        sending = threading.Thread(target=send_much)
        sending.start()
        patient.sendall(b"too large")
        patient.linger()
        patient.close()
        sending.join()

        assert client.recv(100) == b"too large"

    def test_ends_when_the_client_does(
        self, pair: Pair, monkeypatch: pytest.MonkeyPatch, within: Callable[[float], None]
    ) -> None:
        monkeypatch.setattr(patience, "LINGER", 60)
        pair[0].close()

        pair[1].linger()

        within(IN_TIME)

    def test_ends_when_the_client_does_not(self, pair: Pair, within: Callable[[float], None]) -> None:
        while_dripping(pair[0], pair[1].linger)
        within(IN_TIME)

    def test_is_not_for_who_was_cut_off(
        self, pair: Pair, monkeypatch: pytest.MonkeyPatch, within: Callable[[float], None]
    ) -> None:
        monkeypatch.setattr(patience, "LINGER", 60)
        with pytest.raises(ConnectionResetError):
            pair[1].recv(1)

        pair[1].linger()

        within(IN_TIME)

    def test_is_for_nobody_who_has_gone(self, pair: Pair) -> None:
        pair[1].close()
        pair[1].linger()
