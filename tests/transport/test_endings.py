"""Receivers that hang up, in every phase and in every way; and what is tried again, once, and what is not."""

import socket
import time

import pytest

from deliveries.reasons import Reason
from tests.transport import hostile
from tests.transport.conftest import (
    LARGE,
    PLENTY,
    SHORT,
    TOLERANCE,
    Certificates,
    MakeSender,
    Sender,
    Start,
    a_request,
)
from tests.transport.hostile import CHUNKED, HUGE, OK, OK_HEAD, REDIRECT, Behaviour, Conversation

TOO_LARGE = b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno"
# The largest body a webhook gets.
LARGEST = bytes(256 * 1024)


def resetting_after(beginning: bytes) -> Behaviour:
    """Send a beginning, and reset the connection when it has had time to arrive."""

    def behave(conversation: Conversation) -> None:
        conversation.read_request()
        conversation.send(beginning)
        conversation.receiver.stopping.wait(0.05)
        conversation.reset()

    return behave


def resetting_at_once(conversation: Conversation) -> None:
    """Reset the connection before anything is read."""
    conversation.reset()


def resetting_within_the_request(conversation: Conversation) -> None:
    """Read the beginning of the request."""
    conversation.connection.recv(1000)
    conversation.reset()


def closing_its_side_first(conversation: Conversation) -> None:
    """Say that nothing will come, and read on."""
    conversation.connection.shutdown(socket.SHUT_WR)
    conversation.read_request()
    conversation.receiver.stopping.wait()


def answering_with_its_ear_shut(conversation: Conversation) -> None:
    """Read the request, and then never again."""
    conversation.read_request()
    conversation.connection.shutdown(socket.SHUT_RD)
    conversation.send(OK)


def answering_and_closing_its_side(conversation: Conversation) -> None:
    """Close the side that sends with the answer, and stay."""
    conversation.read_request()
    conversation.send(OK_HEAD + b"\r\nok")
    conversation.connection.shutdown(socket.SHUT_WR)
    conversation.receiver.stopping.wait()


def refusing_unread_and_closing(conversation: Conversation) -> None:
    """Answer without reading, and hang up soon."""
    conversation.send(TOO_LARGE)
    conversation.receiver.stopping.wait(0.2)


def refusing_unread_and_staying(conversation: Conversation) -> None:
    """Answer without reading, and neither read nor hang up."""
    conversation.send(TOO_LARGE)
    conversation.receiver.stopping.wait()


def closing_soon(conversation: Conversation) -> None:
    """Hang up without reading anything more."""
    conversation.receiver.stopping.wait(0.05)


class TestAReset:
    PHASES: dict[str, tuple[Behaviour, bytes]] = {
        "at once": (resetting_at_once, b"{}"),
        "within the request": (resetting_within_the_request, LARGE),
        "after the request": (hostile.resetting, b"{}"),
        "within the status line": (resetting_after(b"HTTP/1.1 20"), b"{}"),
        "within the headers": (resetting_after(OK_HEAD + b"X: "), b"{}"),
        "after an interim answer": (resetting_after(b"HTTP/1.1 100 Continue\r\n\r\n"), b"{}"),
        "before the body": (resetting_after(HUGE), b"{}"),
        "within the body": (resetting_after(HUGE + b"x"), b"{}"),
        "within a chunk": (resetting_after(CHUNKED + b"a\r\nx"), b"{}"),
        "within the trailers": (resetting_after(CHUNKED + b"1\r\na\r\n0\r\nX: "), b"{}"),
        "within a body without length": (resetting_after(OK_HEAD + b"\r\nx"), b"{}"),
        "within the body of a redirect": (
            resetting_after(REDIRECT % b"/" + b"Content-Length: 9\r\n\r\nx"),
            b"{}",
        ),
    }

    # Not every TLS library tells a reset from an orderly end. Where an orderly end means something else, that
    # is as good: an answer whose end nobody announced, trailers nobody reads, half a status line.
    OVER_TLS_ALSO: dict[str, Reason | int] = {
        "within the status line": Reason.INVALID_RESPONSE,
        "within the trailers": 200,
        "within a body without length": 200,
    }

    @pytest.mark.parametrize("phase", PHASES)
    def test_is_the_end_whenever_it_comes(self, sender: Sender, start: Start, phase: str) -> None:
        behaviour, body = self.PHASES[phase]
        target = start(behaviour)

        outcome = sender.fail(a_request(target.url(), body=body))

        # A reset may be quicker than our side of the connection.
        assert outcome is Reason.CONNECTION_CLOSED or (phase, outcome) == (
            "at once",
            Reason.CONNECTION_REFUSED,
        )
        assert target.accepted == 1

    @pytest.mark.parametrize("phase", PHASES)
    def test_is_the_end_over_tls_too(
        self, make_sender: MakeSender, start: Start, certificates: Certificates, phase: str
    ) -> None:
        behaviour, body = self.PHASES[phase]
        target = start(behaviour, tls=certificates.valid("127.0.0.1"))

        (outcome,) = make_sender(ca_file=certificates.ca_file).reasons([a_request(target.url(), body=body)])

        assert outcome in {Reason.CONNECTION_CLOSED, self.OVER_TLS_ALSO.get(phase)}
        assert target.accepted == 1

    @pytest.mark.parametrize("behaviour", [resetting_at_once, resetting_within_the_request, closing_soon])
    def test_within_the_handshake_is_a_failed_handshake(
        self, make_sender: MakeSender, start: Start, certificates: Certificates, behaviour: Behaviour
    ) -> None:
        target = start(behaviour)
        url = target.url().replace("http://", "https://")

        # A reset may be quicker than our side of the connection.
        reason = make_sender(ca_file=certificates.ca_file).fail(a_request(url))

        assert reason in {Reason.TLS_FAILED, Reason.CONNECTION_REFUSED}
        assert target.accepted == 1

    def test_behind_a_complete_answer_is_nothing(self, sender: Sender, start: Start) -> None:
        assert sender.send(a_request(start(resetting_after(OK)).url())).body == b"ok"


class TestAHalfClosedConnection:
    def test_that_will_bring_nothing_is_over(self, sender: Sender, start: Start) -> None:
        target = start(closing_its_side_first)

        assert sender.fail(a_request(target.url())) is Reason.CONNECTION_CLOSED
        assert target.accepted == 1

    @pytest.mark.parametrize("behaviour", [answering_with_its_ear_shut, answering_and_closing_its_side])
    def test_that_brings_an_answer_is_good_for_one(
        self, make_sender: MakeSender, start: Start, behaviour: Behaviour
    ) -> None:
        sender = make_sender(slots=1)
        target = start(behaviour)

        assert [sender.send(a_request(target.url())).body for _ in range(2)] == [b"ok", b"ok"]
        assert target.accepted == 2


class TestAnAnswerBeforeTheRequestIsRead:
    @pytest.mark.parametrize("body", [LARGEST, LARGE], ids=["largest", "larger"])
    def test_counts_when_the_receiver_hangs_up(self, sender: Sender, start: Start, body: bytes) -> None:
        reply = sender.send(a_request(start(refusing_unread_and_closing).url(), body=body))

        assert (reply.http_status, reply.body) == (413, b"no")

    def test_counts_when_the_receiver_stays(self, sender: Sender, start: Start) -> None:
        reply = sender.send(a_request(start(refusing_unread_and_staying).url(), body=LARGEST))

        assert reply.http_status == 413

    def test_does_not_stretch_the_deadline_for_more_than_we_ever_send(
        self, sender: Sender, start: Start
    ) -> None:
        target = start(refusing_unread_and_staying)

        (exchange,) = sender.send_all([a_request(target.url(), body=LARGE, timeout=SHORT)])

        # Whether an engine listens while it sends is its own business.
        outcome = getattr(exchange.outcome, "reason", None) or getattr(exchange.outcome, "http_status", None)
        assert outcome in {Reason.RESPONSE_TOO_SLOW, 413}
        assert exchange.duration <= SHORT + TOLERANCE


class TestAStaleConnection:
    @pytest.mark.parametrize("scheme", ["http", "https"])
    @pytest.mark.parametrize("body", [b"{}", LARGEST, LARGE], ids=["small", "largest", "larger"])
    def test_costs_nothing_however_much_was_sent_on_it(
        self, make_sender: MakeSender, start: Start, certificates: Certificates, scheme: str, body: bytes
    ) -> None:
        sender = make_sender(slots=1, ca_file=certificates.ca_file)
        target = start(
            hostile.serving_once_then(closing_soon),
            tls=certificates.valid("127.0.0.1") if scheme == "https" else None,
        )

        for _ in range(3):
            assert sender.send(a_request(target.url(), body=body)).body == b"ok"
            target.conversations[-1].over.wait(PLENTY.total_seconds())

        assert target.accepted == 3

    def test_is_replaced_by_one_that_brings_the_same_request(
        self, make_sender: MakeSender, start: Start
    ) -> None:
        sender = make_sender(slots=1)
        target = start(hostile.serving_once_then(hostile.resetting))
        sender.send(a_request(target.url()))

        sender.send(a_request(target.url(), headers={"X-Webhook-Attempt": "7"}, body=b"second"))

        # Once on the stale connection, whose receiver may even have acted on it, and once on the fresh one.
        first, stale, fresh = target.requests
        assert first != stale
        assert stale == fresh

    def test_is_met_at_any_moment(self, make_sender: MakeSender, start: Start) -> None:
        sender = make_sender(slots=4)
        target = start(hostile.closing_when_idle)

        for pause in (0.19, 0.195, 0.198, 0.2, 0.202, 0.205, 0.21) * 2:
            time.sleep(pause)
            assert sender.reasons([a_request(target.url())] * 4) == [200] * 4
