"""Names that are never answered, that lie, and that change their answer: with a name server of our own."""

import threading
import time
from collections.abc import Sequence
from datetime import timedelta

import pytest

from deliveries.reasons import Reason
from deliveries.transport import resolving
from tests.transport import hostile, names
from tests.transport.conftest import ENGINES, MakeSender, Start, a_request
from tests.transport.hostile import OK
from tests.waiting import SLOWNESS

GOOD = "hooks.example.com"
NOT_FOUND = {"nowhere", "broken", "empty", "silent"}


@pytest.fixture(scope="module", params=list(ENGINES))
def findings(request: pytest.FixtureRequest) -> names.Findings:
    """What an engine made of such names, in a process of its own."""
    return names.run(request.param, rebindings=1000)


class TestNamesThatLie:
    def test_are_seen_through(self, findings: names.Findings) -> None:
        outcomes = {kind: outcome for kind, (outcome, _) in findings.lies.items()}

        expected = {
            kind: Reason.DNS_FAILED if kind in NOT_FOUND else Reason.BLOCKED_ADDRESS for kind in names.LIES
        }
        assert outcomes == expected

    def test_cost_three_seconds_at_most(self, findings: names.Findings) -> None:
        # Of a deadline of five.
        assert max(seconds for _, seconds in findings.lies.values()) < resolving.LOOKUP_LIMIT + 0.5

    def test_hold_a_thread_no_longer_than_somebody_waits(self, findings: names.Findings) -> None:
        outcome, seconds = findings.lies["silent"]

        assert (outcome, seconds < resolving.LOOKUP_LIMIT - 0.2) == (Reason.DNS_FAILED, True)

    def test_lead_nowhere_when_they_change_their_answer(self, findings: names.Findings) -> None:
        assert findings.rebinding == {"200": 500, Reason.BLOCKED_ADDRESS: 500}
        assert findings.connects["forbidden"] == 0
        assert findings.connects["public"] > 0
        # A client that looks up twice is led astray, and the listener off limits counts it.
        assert findings.control == {"public": 0, "forbidden": 1}


class TestNamesThatAreNeverAnswered:
    def test_leave_the_others_as_quick_as_they_were(
        self, findings: names.Findings, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with capsys.disabled():
            print(f"\nNames were looked up in a {findings.mode}; p95: {findings.p95}")  # noqa: T201

        assert findings.p95["beside"] < max(
            2 * findings.p95["alone"], findings.p95["alone"] + 0.05 * SLOWNESS
        )

    def test_take_no_thread_from_names_that_have_been_answered(
        self, make_sender: MakeSender, start: Start, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        over = threading.Event()

        def lookup(name: str) -> Sequence[str]:
            if name != GOOD:
                over.wait()
            return ["127.0.0.1"]

        monkeypatch.setattr(resolving, "ANSWER_LIFETIME", 0.05)
        sender = make_sender(slots=32, lookup=lookup)
        target = start(hostile.answering_once(OK))
        sender.send(a_request(target.url(GOOD)))

        # More names than there are threads for all of them, and more than anybody waits for at once.
        dead = [f"http://dead-{number}.example.com/" for number in range(400)]
        outcomes = sender.reasons([a_request(url, timeout=timedelta(seconds=0.05)) for url in dead])
        time.sleep(0.1)
        reply = sender.send(a_request(target.url(GOOD)))
        over.set()

        # Which of the two it is depends on who looks at the clock first.
        assert set(outcomes) <= {Reason.DNS_FAILED, Reason.CONNECTION_TIMEOUT}
        assert reply.body == b"ok"
        assert target.accepted == 2
