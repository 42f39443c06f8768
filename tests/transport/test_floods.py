"""Answers without end: how much of them is taken, at the receiver's side too, and what they leave behind."""

import io
from typing import Any

import pytest

from deliveries.reasons import Reason
from deliveries.transport import KEEP_LIMIT, READ_LIMIT, Reply, RequestsTransport, calls, requests_engine
from tests.transport import elsewhere, kinds
from tests.transport.conftest import (
    PLENTY,
    Certificates,
    Engine,
    MakeSender,
    Start,
    a_request,
    resident_bytes,
)
from tests.transport.hostile import KERNEL, Receiver

RSS_LIMIT = 20 * 1024 * 1024

EXPECTED: dict[str, Reason | int] = {
    **{f"body: {kind}": status for kind, (status, _) in kinds.ENDLESS_BODIES.items()},
    **dict.fromkeys((f"headers: {kind}" for kind in kinds.ENDLESS_HEADERS), Reason.INVALID_RESPONSE),
}


@pytest.fixture(params=["http", "https"])
def receivers(
    request: pytest.FixtureRequest, start: Start, certificates: Certificates
) -> dict[str, Receiver]:
    """One receiver for each kind of flood, that sends it step by step."""
    tls = certificates.valid("127.0.0.1") if request.param == "https" else None
    return {kind: start(kinds.pouring(flood), tls=tls) for kind, flood in kinds.FLOODS.items()}


class TestAFlood:
    def test_is_cut_off_and_has_its_status_or_reason(self, make_sender: MakeSender, start: Start) -> None:
        sender = make_sender(slots=len(kinds.FLOODS))
        requests = [a_request(start(kinds.flooding(flood)).url()) for flood in kinds.FLOODS.values()]
        before = resident_bytes()

        exchanges = sender.send_all(requests)

        outcomes = dict(zip(kinds.FLOODS, (exchange.outcome for exchange in exchanges), strict=True))
        assert {
            kind: outcome.http_status if isinstance(outcome, Reply) else outcome.reason
            for kind, outcome in outcomes.items()
        } == EXPECTED
        assert (
            max(len(outcome.body) for outcome in outcomes.values() if isinstance(outcome, Reply))
            == KEEP_LIMIT
        )
        assert max(exchange.duration for exchange in exchanges) < PLENTY
        assert resident_bytes() - before < RSS_LIMIT

    def test_meets_a_closed_connection_after_64_kib(
        self, make_sender: MakeSender, certificates: Certificates, receivers: dict[str, Receiver]
    ) -> None:
        sender = make_sender(slots=4, ca_file=certificates.ca_file)

        outcomes = sender.reasons([a_request(target.url()) for target in receivers.values()])

        assert dict(zip(receivers, outcomes, strict=True)) == EXPECTED
        taken = {}
        for kind, target in receivers.items():
            (conversation,) = target.conversations
            assert conversation.over.wait(PLENTY.total_seconds()), f"{kind}: still connected"
            taken[kind] = conversation.sent
        assert {kind: sent for kind, sent in taken.items() if sent > READ_LIMIT + KERNEL} == {}

    @pytest.mark.parametrize("number", [100, pytest.param(1000, marks=pytest.mark.slow)])
    def test_of_all_kinds_leaves_no_memory_behind(self, make_sender: MakeSender, number: int) -> None:
        # What is read of a thousand, kept, would be 64 MiB; what an allocator keeps differs by Python.
        sender = make_sender(slots=8)
        with elsewhere.receivers("floods") as targets:
            urls = list(targets.urls.values())
            sender.send_all([a_request(url) for url in urls])
            before = resident_bytes()

            for at in range(0, number, 100):
                sender.send_all([a_request(urls[each % len(urls)]) for each in range(at, at + 100)])

            assert resident_bytes() - before < RSS_LIMIT


class TestTheCount:
    """Of the one engine that keeps one where a test can see it."""

    @pytest.fixture
    def engine(self) -> Engine:
        return RequestsTransport

    def test_of_what_was_read_agrees(
        self,
        make_sender: MakeSender,
        certificates: Certificates,
        receivers: dict[str, Receiver],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        made: list[calls.Call] = []

        def noted(**fields: Any) -> calls.Call:
            made.append(calls.Call(**fields))
            return made[-1]

        monkeypatch.setattr(requests_engine, "Call", noted)
        sender = make_sender(slots=4, ca_file=certificates.ca_file)

        sender.send_all([a_request(target.url()) for target in receivers.values()])

        # Of the headers and of the body as much, and most floods are only one of them.
        # What was read with the headers, a buffer at most, comes on top.
        assert max(call.received for call in made) <= READ_LIMIT + io.DEFAULT_BUFFER_SIZE
