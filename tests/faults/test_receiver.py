"""The receiver itself."""

import http.client
import json
import time
from collections.abc import Iterator

import pytest

from deliveries import signing
from tests.faults.receiver import Behaviour, Receiver, receiving

SECRET = signing.new_secret()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


def send(
    receiver: Receiver, path: str = "/a", *, event_id: str = "e-1", key: str = SECRET, attempt: int = 1
) -> int:
    """Send what the service would, and return the status of the answer; 0 when there is none."""
    body, timestamp = json.dumps({"event": event_id}).encode(), int(time.time())
    signature = signing.sign(message_id=event_id, timestamp=timestamp, body=body, keys=[key])
    connection = http.client.HTTPConnection("127.0.0.1", receiver.port, timeout=0.5)
    headers = {
        "webhook-id": event_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": signature,
        "X-Webhook-Attempt": str(attempt),
    }
    try:
        connection.request("POST", path, body=body, headers=headers)
        return connection.getresponse().status
    except (http.client.RemoteDisconnected, TimeoutError):
        return 0
    finally:
        connection.close()


class TestReceiver:
    def test_notes_what_arrives(self, receiver: Receiver) -> None:
        assert send(receiver, "/a", attempt=3) == 200
        send(receiver, "/b", event_id="e-2")

        first, second = receiver.arrivals()
        assert (first.path, first.event_id, first.attempt, first.status) == ("/a", "e-1", 3, 200)
        assert abs(first.at - time.time()) < 5
        assert first.digest != second.digest
        assert receiver.arrivals("/b") == [second]
        assert receiver.count() == 2

    def test_verifies_with_any_secret_of_the_path(self, receiver: Receiver) -> None:
        send(receiver)
        receiver.verify("/a", signing.new_secret())
        send(receiver)
        receiver.verify("/a", signing.new_secret(), SECRET)
        send(receiver)

        assert [arrival.verified for arrival in receiver.arrivals()] == [None, False, True]

    def test_behaves_as_told_for_the_nth_arrival_of_an_event(self, receiver: Receiver) -> None:
        receiver.behave(Behaviour(status=500), Behaviour(status=429), Behaviour(), path="/a")
        receiver.behave(Behaviour(status=404))

        assert [send(receiver) for _ in range(4)] == [500, 429, 200, 200]
        assert [send(receiver, event_id="e-2"), send(receiver, "/b")] == [500, 404]

    def test_takes_its_time_hangs_or_closes(self, receiver: Receiver) -> None:
        receiver.behave(Behaviour(delay=0.2), path="/late")
        receiver.behave(Behaviour(manner="hang"), path="/hanging")
        receiver.behave(Behaviour(manner="close"), path="/closing")

        began = time.monotonic()
        assert send(receiver, "/late") == 200
        assert time.monotonic() - began >= 0.2
        assert (send(receiver, "/hanging"), send(receiver, "/closing")) == (0, 0)
        assert [arrival.status for arrival in receiver.arrivals()] == [200, 0, 0]

    def test_is_dead_until_it_listens_again(self, receiver: Receiver) -> None:
        receiver.refuse()
        with pytest.raises(ConnectionRefusedError):
            send(receiver)

        receiver.listen()
        assert send(receiver) == 200

    def test_forgets(self, receiver: Receiver) -> None:
        receiver.behave(Behaviour(status=500))
        send(receiver)
        receiver.refuse()

        receiver.forget()

        assert receiver.arrivals() == []
        assert send(receiver) == 200
