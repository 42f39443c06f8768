"""The deadline of the whole exchange, against receivers that are slow in every way we know."""

import time
from collections.abc import Sequence
from datetime import timedelta

import pytest

from deliveries.reasons import Reason
from deliveries.transport import Exchange, Reply
from tests.transport import hostile, kinds
from tests.transport.conftest import (
    LONGER,
    NAME,
    SHORT,
    TOLERANCE,
    Certificates,
    MakeSender,
    Start,
    a_request,
)
from tests.transport.hostile import OK


def late_or_early(exchanges: Sequence[Exchange]) -> dict[str, timedelta]:
    """Return how long those kinds took that did not end at the deadline."""
    return {
        kind: exchange.duration
        for kind, exchange in zip(kinds.SLOW, exchanges, strict=True)
        if not LONGER <= exchange.duration <= LONGER + TOLERANCE
    }


def reasons(exchanges: Sequence[Exchange]) -> dict[str, Reason | int]:
    """Return what came of each kind: a reason, or a status where there should be none."""
    return {
        kind: exchange.outcome.http_status if isinstance(exchange.outcome, Reply) else exchange.outcome.reason
        for kind, exchange in zip(kinds.SLOW, exchanges, strict=True)
    }


ALL_TOO_SLOW = dict.fromkeys(kinds.SLOW, Reason.RESPONSE_TOO_SLOW)


class TestEveryPartOfAnAnswer:
    @pytest.mark.parametrize("scheme", ["http", "https"])
    @pytest.mark.parametrize("connection", ["fresh", "kept"])
    def test_is_cut_at_the_deadline(
        self, make_sender: MakeSender, start: Start, certificates: Certificates, scheme: str, connection: str
    ) -> None:
        tls = certificates.valid("127.0.0.1") if scheme == "https" else None
        sender = make_sender(slots=len(kinds.SLOW), ca_file=certificates.ca_file)
        kept = connection == "kept"
        behaviours = [hostile.serving_once_then(slow) if kept else slow for slow in kinds.SLOW.values()]
        targets = [start(behaviour, tls=tls) for behaviour in behaviours]
        for target in targets if kept else ():
            sender.send(a_request(target.url()))

        exchanges = sender.send_all([a_request(target.url(), timeout=LONGER) for target in targets])

        assert reasons(exchanges) == ALL_TOO_SLOW
        assert late_or_early(exchanges) == {}
        assert {target.accepted for target in targets} == {1}

    def test_is_cut_also_inside_of_a_tls_record(
        self, make_sender: MakeSender, start: Start, certificates: Certificates
    ) -> None:
        target = start(hostile.answering(OK), tls=certificates.valid("127.0.0.1"))
        relay = start(hostile.relaying_slowly(target, begun=lambda: bool(target.requests)))
        url = relay.url().replace("http://", "https://")

        (exchange,) = make_sender(ca_file=certificates.ca_file).send_all([a_request(url, timeout=SHORT)])

        assert getattr(exchange.outcome, "reason", None) is Reason.RESPONSE_TOO_SLOW
        assert SHORT <= exchange.duration <= SHORT + TOLERANCE


class TestTheHandshake:
    def test_is_cut_at_the_deadline_though_every_byte_of_it_is_right(
        self, make_sender: MakeSender, start: Start, certificates: Certificates
    ) -> None:
        target = start(hostile.answering(OK), tls=certificates.valid("127.0.0.1"))
        relay = start(hostile.relaying_slowly(target, begun=lambda: True))
        url = relay.url().replace("http://", "https://")

        (exchange,) = make_sender(ca_file=certificates.ca_file).send_all([a_request(url, timeout=SHORT)])

        assert getattr(exchange.outcome, "reason", None) is Reason.CONNECTION_TIMEOUT
        assert SHORT <= exchange.duration <= SHORT + TOLERANCE


class TestTheDeadline:
    def test_is_one_for_the_name_the_handshake_and_the_answer(
        self, make_sender: MakeSender, start: Start, certificates: Certificates
    ) -> None:
        def slow_lookup(name: str) -> Sequence[str]:
            time.sleep(0.7)
            return ["127.0.0.1"]

        target = start(hostile.silent, tls=certificates.valid(NAME), handshake_delay=0.7)
        sender = make_sender(ca_file=certificates.ca_file, lookup=slow_lookup)

        (exchange,) = sender.send_all([a_request(target.url(NAME), timeout=LONGER)])

        assert getattr(exchange.outcome, "reason", None) is Reason.RESPONSE_TOO_SLOW
        assert LONGER <= exchange.duration < LONGER + timedelta(seconds=0.7)
        assert len(target.requests) == 1

    def test_is_one_for_a_stale_connection_and_the_one_after_it(
        self, make_sender: MakeSender, start: Start
    ) -> None:
        def resetting_late(conversation: hostile.Conversation) -> None:
            conversation.read_request()
            conversation.receiver.stopping.wait(1.2)
            conversation.reset()

        behaviours = iter([hostile.serving_once_then(resetting_late), hostile.silent])
        target = start(lambda conversation: next(behaviours)(conversation))
        sender = make_sender(slots=1)
        sender.send(a_request(target.url()))

        (exchange,) = sender.send_all([a_request(target.url(), timeout=LONGER)])

        assert getattr(exchange.outcome, "reason", None) is Reason.RESPONSE_TOO_SLOW
        assert LONGER <= exchange.duration < LONGER + timedelta(seconds=1.2)
        assert (target.accepted, len(target.requests)) == (2, 3)
