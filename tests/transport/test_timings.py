"""Where the time of an exchange went, and what it was sent to."""

import time
from collections.abc import Sequence
from datetime import timedelta

import pytest

from deliveries.reasons import Reason
from deliveries.transport import Timings
from tests.transport import hostile
from tests.transport.conftest import NAME, SHORT, Certificates, MakeSender, Sender, Start, a_request
from tests.transport.hostile import OK

A_WHILE = timedelta(seconds=0.15)


def slow_lookup(name: str) -> Sequence[str]:
    time.sleep(A_WHILE.total_seconds())
    return ["127.0.0.2", "127.0.0.1"]


def thinking(conversation: hostile.Conversation) -> None:
    """Answer each request after a while."""
    while True:
        conversation.read_request()
        conversation.receiver.stopping.wait(A_WHILE.total_seconds())
        conversation.send(OK)


class TestTimings:
    def test_tell_the_parts_of_an_exchange(
        self, make_sender: MakeSender, start: Start, certificates: Certificates
    ) -> None:
        target = start(thinking, tls=certificates.valid(NAME), handshake_delay=A_WHILE.total_seconds())
        sender = make_sender(ca_file=certificates.ca_file, lookup=slow_lookup)

        (exchange,) = sender.send_all([a_request(target.url(NAME))])

        found = exchange.timings
        assert found.dns is not None
        assert found.connect is not None
        assert found.tls is not None
        assert found.first_byte is not None
        assert min(found.dns, found.tls, found.first_byte) >= A_WHILE
        assert found.dns + found.connect + found.tls + found.first_byte <= exchange.duration

    @pytest.mark.parametrize("scheme", ["http", "https"])
    def test_are_none_for_what_a_kept_connection_does_without(
        self, make_sender: MakeSender, start: Start, certificates: Certificates, scheme: str
    ) -> None:
        target = start(thinking, tls=certificates.valid(NAME) if scheme == "https" else None)
        sender = make_sender(slots=1, ca_file=certificates.ca_file, lookup=lambda name: ["127.0.0.1"])

        first, second = (sender.send_all([a_request(target.url(NAME))])[0] for _ in range(2))

        assert (first.timings.tls is None) == (scheme == "http")
        assert second.timings.first_byte is not None
        assert second.timings == Timings(first_byte=second.timings.first_byte)
        assert A_WHILE <= second.timings.first_byte <= second.duration

    def test_are_none_for_what_never_came(self, sender: Sender, start: Start) -> None:
        target = start(hostile.silent)

        (exchange,) = sender.send_all([a_request(target.url(), timeout=SHORT)])

        assert exchange.timings == Timings(connect=exchange.timings.connect)
        assert exchange.timings.connect is not None

    def test_are_those_of_the_second_try(self, make_sender: MakeSender, start: Start) -> None:
        sender = make_sender(slots=1)
        target = start(hostile.serving_once_then(hostile.resetting))
        sender.send(a_request(target.url()))

        (exchange,) = sender.send_all([a_request(target.url())])

        assert exchange.timings.connect is not None


class TestTheRemoteAddress:
    def test_is_the_one_that_was_connected_to(self, make_sender: MakeSender, start: Start) -> None:
        target = start(hostile.answering(OK))
        sender = make_sender(slots=1, lookup=lambda name: ["127.0.0.2", "127.0.0.1"])

        exchanges = [sender.send_all([a_request(target.url(NAME))])[0] for _ in range(2)]

        assert [exchange.remote_address for exchange in exchanges] == ["127.0.0.1"] * 2

    def test_is_the_one_that_was_tried_last(self, make_sender: MakeSender, start: Start) -> None:
        target = start(hostile.answering(OK))
        target.stop()
        sender = make_sender(lookup=lambda name: ["127.0.0.2", "127.0.0.1"])

        (exchange,) = sender.send_all([a_request(target.url(NAME))])

        assert getattr(exchange.outcome, "reason", None) is Reason.CONNECTION_REFUSED
        assert exchange.remote_address == "127.0.0.1"

    def test_is_none_where_nothing_was_tried(self, make_sender: MakeSender) -> None:
        sender = make_sender(lookup=lambda name: ["10.0.0.1"])

        (exchange,) = sender.send_all([a_request(f"http://{NAME}/")])

        assert exchange.remote_address is None
