"""The receiver that everything is sent to."""

import http.client
import socket
import time
from collections.abc import Iterator

import pytest

from benchmarks.receiver import Receiver, receiving


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


def post(receiver: Receiver, path: str, *, times: int = 1, body: bytes = b"{}") -> list[tuple[int, bool]]:
    """Return of each request the status, and whether the connection may be used again."""
    connection = http.client.HTTPConnection(receiver.url("").removeprefix("http://"), timeout=10)
    answers = []
    for number in range(times):
        connection.request("POST", path, body=body, headers={"webhook-id": f"event-{number}"})
        answer = connection.getresponse()
        answer.read()
        answers.append((answer.status, not answer.will_close))
    connection.close()
    return answers


class TestReceiver:
    @pytest.mark.parametrize(
        ("path", "answer"), [("/keep/1", (200, True)), ("/close/1", (200, False)), ("/fail/1", (500, True))]
    )
    def test_answers_as_the_path_says(self, receiver: Receiver, path: str, answer: tuple[int, bool]) -> None:
        assert post(receiver, path) == [answer]

    def test_never_answers_what_is_to_hang_nor_counts_it(self, receiver: Receiver) -> None:
        host, port = receiver.url("").removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=0.3) as connection:
            connection.sendall(b"POST /hang/1 HTTP/1.1\r\ncontent-length: 0\r\n\r\n")

            with pytest.raises(TimeoutError):
                connection.recv(1)
            assert receiver.count() == 0

            receiver.forget()
            assert connection.recv(1) == b""

    def test_knows_when_each_event_came(self, receiver: Receiver) -> None:
        began = time.time()
        post(receiver, "/keep/1", times=3, body=b"x" * 100_000)
        post(receiver, "/keep/1")
        ended = time.time()

        assert receiver.count() == 4
        arrivals = receiver.arrivals()
        assert list(arrivals) == ["event-0", "event-1", "event-2"]
        first, last = receiver.span()
        assert began < first == arrivals["event-0"] < arrivals["event-1"] < last < ended

    def test_begins_anew_when_it_has_forgotten(self, receiver: Receiver) -> None:
        post(receiver, "/keep/1")
        receiver.forget()

        assert (receiver.count(), receiver.arrivals()) == (0, {})
