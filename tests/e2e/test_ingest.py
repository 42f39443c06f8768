"""Publishing through several web processes, each with a copy of the rules."""

from collections.abc import Iterator

import pytest

from tests.e2e.stack import Stack, installation

pytestmark = [pytest.mark.postgresql, pytest.mark.slow]

ROUNDS = 10
# Each on a connection of its own, so that both processes have had some.
EVENTS = 8


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """Two web processes, and nobody who delivers."""
    with installation() as stack:
        stack.make_account()
        stack.start_web(workers=2)
        yield stack


def matched(stack: Stack, agent_id: str) -> set[int]:
    """Return how many webhooks events match."""
    event = {"event": "call.ended", "agent_id": agent_id, "payload": {}}
    return {stack.call("POST", "/api/v1/events", event).json["matched"] for _ in range(EVENTS)}


def test_goes_by_a_change_at_once_in_every_process(stack: Stack) -> None:
    agent_id = stack.call("POST", "/api/v1/agents", {"name": "Reception"}).json["id"]
    webhooks = f"/api/v1/agents/{agent_id}/webhooks"
    fields = {"name": "One", "webhook_url": stack.receiver.url("/"), "events": ["call.ended"]}
    assert matched(stack, agent_id) == {0}

    made = stack.call("POST", webhooks, fields).json["data"]["id"]
    assert matched(stack, agent_id) == {1}

    for _ in range(ROUNDS):
        for expected in (0, 1):
            assert stack.call("PATCH", f"{webhooks}/{made}/toggle").status == 200
            assert matched(stack, agent_id) == {expected}
