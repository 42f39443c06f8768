"""Receivers that are slow in every way there is, over HTTP and TLS, and what the others notice of them."""

import time
from contextlib import ExitStack
from pathlib import Path

import pytest
import trustme

from deliveries.reasons import Reason
from tests.faults.scene import TIMEOUT, Scene
from tests.measuring.controller import Published
from tests.transport import elsewhere

pytestmark = pytest.mark.postgresql

TOLERANCE = 0.5
# Below this the machine's own business decides, not ours, in seconds.
NOTICEABLE = 0.1
RATE = 50
# Slow requests under way at once: a quarter of the slots of two workers.
AT_ONCE = 16


@pytest.fixture
def certificate(scene: Scene, tmp_path: Path) -> str:
    """A certificate for receivers, of an authority that the workers are told to trust."""
    authority, path = trustme.CA(), tmp_path / "receiver.pem"
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(path)
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    scene.stack.environment["WEBHOOKS_CA_BUNDLE"] = str(tmp_path / "authority.pem")
    return str(path)


def subscribe(scene: Scene, urls: dict[str, str]) -> list[str]:
    """Make a webhook for each URL, named by its kind and of an agent of its own; return the agents."""
    agents = []
    for kind, url in urls.items():
        agent = scene.stack.call("POST", "/api/v1/agents", {"name": kind}).json["id"]
        body = {
            "name": kind,
            "webhook_url": url,
            "events": ["*"],
            "timeout": TIMEOUT,
            "max_retries": 0,
        }
        answer = scene.stack.call("POST", f"/api/v1/agents/{agent}/webhooks", body)
        assert answer.status == 201, answer
        agents.append(str(agent))
    return agents


class TestSlowReceivers:
    def test_are_cut_off_in_time_and_cost_the_others_nothing(self, scene: Scene, certificate: str) -> None:
        calm, beside = Published(), Published()
        rounds = scene.size.count(short=1, long=3)
        with ExitStack() as running:
            plain = running.enter_context(elsewhere.receivers("slow"))
            encrypted = running.enter_context(elsewhere.receivers("slow", certificate=certificate))
            handshakes = running.enter_context(elsewhere.receivers("slow handshakes"))
            scene.start(webhooks=8, workers=2)
            healthy = [each.agent_id for each in scene.subscriptions]
            slow = subscribe(
                scene,
                {
                    **{f"http, {kind}": url for kind, url in plain.urls.items()},
                    **{f"https, {kind}": url for kind, url in encrypted.urls.items()},
                    **{
                        f"https, {kind}": url.replace("http:", "https:")
                        for kind, url in handshakes.urls.items()
                    },
                },
            )

            chosen = scene.chance.sample(slow, scene.size.count(short=AT_ONCE, long=len(slow))) * rounds
            for at in range(0, len(chosen), AT_ONCE):
                # By turns and for as long, so that whatever else the machine does meets both alike.
                seconds = scene.size.pick(short=2, long=TIMEOUT + TOLERANCE)
                with scene.publishing(rate=RATE, seconds=seconds, agents=healthy) as published:
                    pass
                calm.acknowledged += published.acknowledged
                with scene.publishing(rate=RATE, agents=healthy) as published:
                    for agent in chosen[at : at + AT_ONCE]:
                        scene.publish(agent)
                    # Waiting for it by asking the database would be a load of its own.
                    time.sleep(TIMEOUT + TOLERANCE)
                beside.acknowledged += published.acknowledged
            scene.settle()

        attempts = scene.stack.rows(
            "SELECT webhook.name, extract(epoch FROM attempt.duration), attempt.reason_code"
            " FROM deliveries_attempt AS attempt JOIN deliveries_webhook AS webhook"
            " ON webhook.id = attempt.webhook_id WHERE webhook.name LIKE 'http%'"
        )
        # By our own account, and by that of the receivers: until their connection was closed.
        durations = [float(took) for _, took, _ in attempts]
        lasted = [
            seconds
            for targets in (plain, encrypted, handshakes)
            for its in targets.lasted.values()
            for seconds in its
        ]
        off = [seconds for seconds in durations + lasted if abs(seconds - TIMEOUT) > TOLERANCE]
        wrong = {
            kind: reason
            for kind, _, reason in attempts
            if reason != (Reason.CONNECTION_TIMEOUT if "handshake" in kind else Reason.RESPONSE_TOO_SLOW)
        }
        before, during = (scene.delivered_within(0.95, published) for published in (calm, beside))
        assert wrong == {}
        scene.figure(
            "slow-servers",
            baseline=before,
            passed=len(attempts) == len(lasted) == len(chosen),
            timely=not off and during < max(2 * before, before + NOTICEABLE),
            kinds=len({kind for kind, *_ in attempts}),
            attempts=len(attempts),
            longest_s=round(max(durations), 2),
            shortest_s=round(min(durations), 2),
            longest_s_seen_by_its_receiver=round(max(lasted), 2),
            shortest_s_seen_by_its_receiver=round(min(lasted), 2),
            others_p95_before_ms=round(before * 1000),
            others_p95_beside_ms=round(during * 1000),
        )
