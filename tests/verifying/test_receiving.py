import http.client
import re
from collections.abc import Iterator, Mapping
from contextlib import closing
from types import MappingProxyType

import pytest

from deliveries import signing
from deliveries.management.verifying.receiving import OwnReceiver

SECRET = signing.new_secret()
BODY = b'{"number":1}'


@pytest.fixture
def receiver() -> Iterator[OwnReceiver]:
    """A receiver that listens."""
    receiver = OwnReceiver("127.0.0.1", 0, secret=SECRET)
    with receiver.open():
        yield receiver


def headers() -> dict[str, str]:
    signature = signing.sign(message_id="e-1", timestamp=1700000000, body=BODY, keys=[SECRET])
    return {
        "webhook-id": "e-1",
        "webhook-timestamp": "1700000000",
        "webhook-signature": signature,
    }


def send(
    receiver: OwnReceiver, *, body: bytes = BODY, changes: Mapping[str, str] = MappingProxyType({})
) -> int:
    with closing(http.client.HTTPConnection(receiver.url.split("/")[2], timeout=5)) as connection:
        connection.request("POST", "/", body=body, headers={**headers(), **changes})
        return connection.getresponse().status


class TestOwnReceiver:
    @pytest.mark.parametrize(
        ("listening", "reached_at", "host"),
        [
            ("127.0.0.1", None, "127.0.0.1"),
            ("127.0.0.1", "hooks.example.com", "hooks.example.com"),
            ("0.0.0.0", None, "127.0.0.1"),
            ("0.0.0.0", "10.1.2.3", "10.1.2.3"),
        ],
    )
    def test_says_where_it_is_reached(self, listening: str, reached_at: str | None, host: str) -> None:
        receiver = OwnReceiver(listening, 0, secret=SECRET, reached_at=reached_at)
        with receiver.open():
            assert re.fullmatch(rf"http://{re.escape(host)}:[1-9][0-9]+/", receiver.url)

    def test_takes_what_is_signed(self, receiver: OwnReceiver) -> None:
        assert send(receiver) == 200

        (arrival,) = receiver.news()
        assert (arrival.event_id, arrival.verified) == ("e-1", True)
        assert not receiver.news()

    @pytest.mark.parametrize(
        "changes",
        [
            {
                "webhook-signature": signing.sign(
                    message_id="e-1", timestamp=1700000000, body=BODY, keys=["x"]
                )
            },
            {"webhook-signature": ""},
            {"webhook-timestamp": "1700000001"},
            {"webhook-timestamp": "now"},
            {"webhook-id": "e-2"},
        ],
        ids=["of another secret", "empty", "of another moment", "of no moment", "of another event"],
    )
    def test_notes_a_signature_that_does_not_fit(
        self, receiver: OwnReceiver, changes: dict[str, str]
    ) -> None:
        assert send(receiver, changes=changes) == 200

        assert [arrival.verified for arrival in receiver.news()] == [False]

    def test_notes_a_body_that_was_changed(self, receiver: OwnReceiver) -> None:
        send(receiver, body=b'{"number":2}')

        assert [arrival.verified for arrival in receiver.news()] == [False]

    def test_says_that_its_port_is_taken(self, receiver: OwnReceiver) -> None:
        port = int(receiver.url.rsplit(":", 1)[1].strip("/"))

        with pytest.raises(OSError, match="in use"):
            OwnReceiver("127.0.0.1", port, secret=SECRET)
