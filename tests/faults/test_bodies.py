"""Answers without end, compressed, or with a redirect: what workers read of them, and what they keep."""

import statistics

import pytest

from deliveries.transport import KEEP_LIMIT, READ_LIMIT
from tests.faults.scene import TIMEOUT, Scene
from tests.measuring import footprint
from tests.transport import elsewhere, kinds
from tests.transport.hostile import KERNEL

pytestmark = pytest.mark.postgresql

EVENTS_EACH = 6  # fewer than open a circuit
GROWTH = 20 * 1024 * 1024


class TestEndlessAnswers:
    def test_are_cut_off_and_leave_nothing_behind(self, scene: Scene) -> None:
        copies = scene.size.count(short=1, long=10)
        scene.start(webhooks=2, workers=1)
        with scene.publishing(rate=50, seconds=2):
            pass
        scene.settle()
        with elsewhere.receivers("paced floods") as targets:
            agents = [
                self.subscribe(scene, kind, url) for kind, url in targets.urls.items() for _ in range(copies)
            ]
            before = scene.footprints()
            for pid in before:
                footprint.forget_peak(pid)

            for _ in range(EVENTS_EACH):
                for agent in agents:
                    scene.publish(agent)
            scene.settle()

            after = scene.footprints()

        rows = scene.stack.rows(
            "SELECT webhook.name, coalesce(attempt.http_status, 0), coalesce(length(response_body), 0)"
            " FROM deliveries_attempt AS attempt JOIN deliveries_webhook AS webhook"
            " ON webhook.id = attempt.webhook_id WHERE webhook.name LIKE '%: %'"
        )
        assert {(kind, status) for kind, status, _ in rows} == {
            **{(f"body: {kind}", status): 0 for kind, (status, _) in kinds.ENDLESS_BODIES.items()},
            **{(f"headers: {kind}", 0): 0 for kind in kinds.ENDLESS_HEADERS},
        }.keys()
        taken = [sent for each in targets.taken.values() for sent in each]
        grown = max(after[pid].peak - held.resident for pid, held in before.items())
        scene.figure(
            "bodies",
            passed=len(rows) == len(taken) == EVENTS_EACH * len(agents)
            and max(taken) <= READ_LIMIT + KERNEL
            and max(size for *_, size in rows) <= KEEP_LIMIT
            and grown < GROWTH,
            answers=len(rows),
            taken_from_most_kib=round(statistics.median(taken) / 1024),
            taken_with_the_kernels_buffers_at_most_kib=round(max(taken) / 1024),
            kept_at_most_kib=round(max(size for *_, size in rows) / 1024),
            grown_at_most_mb=round(grown / 2**20, 1),
        )

    def subscribe(self, scene: Scene, kind: str, url: str) -> str:
        """Make a webhook of an agent of its own, and return the agent."""
        agent = scene.stack.call("POST", "/api/v1/agents", {"name": kind}).json["id"]
        body = {"name": kind, "webhook_url": url, "events": ["*"], "timeout": TIMEOUT, "max_retries": 0}
        answer = scene.stack.call("POST", f"/api/v1/agents/{agent}/webhooks", body)
        assert answer.status == 201, answer
        return str(agent)
