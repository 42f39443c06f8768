"""Webhooks that are changed, and deliveries that are sent again, while requests are under way."""

import time
from collections import Counter, deque
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.faults.receiver import Behaviour
from tests.faults.scene import SLOTS, TIMEOUT, Scene
from tests.waiting import wait_until

pytestmark = pytest.mark.postgresql


class TestLeaseThatEndsEarly:
    def test_costs_one_duplicate_each(self, scene: Scene) -> None:
        """By arithmetic it cannot end before the request; the rows are changed to make it."""
        events = scene.size.count(short=12, long=100)
        scene.receiver.behave(Behaviour(delay=TIMEOUT - 1), Behaviour(delay=0.05))
        scene.start(webhooks=4, workers=2)

        with ThreadPoolExecutor(8) as customers:
            deque(
                customers.map(scene.publish, [each.agent_id for each in scene.subscriptions] * (events // 4))
            )
        # As many as both workers together may have under way for these webhooks.
        room = 4 * 2 * SLOTS // 4
        wait_until(lambda: scene.receiver.count() >= min(events, room), timeout=10, what="requests under way")
        ended = len(
            scene.stack.rows(
                "UPDATE deliveries_delivery SET due_at = now() WHERE lease_token IS NOT NULL RETURNING id"
            )
        )
        scene.allowed_duplicates = ended
        scene.settle()
        wait_until(lambda: scene.fenced() == scene.duplicates(), timeout=TIMEOUT + 5, what="the late results")

        most = max(scene.repeated().values(), default=0)
        states = scene.stack.rows("SELECT DISTINCT status FROM deliveries_delivery")
        scene.figure(
            "lease-forced",
            # Those that the other worker took again while the first request was under way.
            passed=most == 1 and states == [("succeeded",)],
            leases_ended=ended,
            duplicates=scene.duplicates(),
            at_most_of_one_delivery=most,
        )


class TestEditedWebhook:
    def test_gets_the_next_attempt_at_its_new_address(self, scene: Scene) -> None:
        scene.receiver.behave(Behaviour(status=404, delay=0.5))
        scene.receiver.behave(Behaviour(), path="/new")
        scene.start(webhooks=1)
        (webhook,) = scene.subscriptions
        scene.receiver.verify("/new", webhook.secret)

        scene.publish()
        wait_until(lambda: scene.receiver.count() == 1, timeout=10, what="the first attempt")
        new = scene.receiver.url("/new")
        assert scene.stack.call("PUT", webhook.api, {"webhook_url": new}).status == 200
        scene.settle()

        urls = [url for (url,) in scene.stack.rows("SELECT url FROM deliveries_attempt ORDER BY number")]
        paths = [arrival.path for arrival in scene.receiver.arrivals()]
        scene.figure(
            "webhook-edited",
            passed=paths == ["/0", "/new"] and urls == [scene.receiver.url(path) for path in paths],
            attempts_at=" ".join(paths),
        )


class TestSwitchedOffWebhook:
    def test_gets_nothing_any_more(self, scene: Scene) -> None:
        timeout = 2
        scene.receiver.behave(Behaviour(delay=0.02, spread=0.18))
        scene.start(webhooks=4, workers=2, timeout=timeout)
        disabled, deleted, *_ = scene.subscriptions
        scene.uncertain = {disabled.webhook_id, deleted.webhook_id}
        committed: dict[str, float] = {}
        for each in (disabled, deleted):
            # So slow that much is waiting for it when it is switched off.
            scene.receiver.behave(Behaviour(delay=timeout / 2), path=each.path)

        with scene.publishing(rate=scene.size.pick(short=120, long=150)):
            time.sleep(scene.size.pick(short=2, long=20))
            assert scene.stack.call("PUT", disabled.api, {"enabled": False}).status == 200
            committed[disabled.path] = time.time()
            assert scene.stack.call("DELETE", deleted.api).status == 200
            committed[deleted.path] = time.time()
            time.sleep(scene.size.pick(short=1, long=10))
        time.sleep(timeout + 2)
        scene.settle()

        latest = {
            path: max((arrival.at for arrival in scene.receiver.arrivals(path)), default=0) - moment
            for path, moment in committed.items()
        }
        of_deleted = f"SELECT status FROM deliveries_delivery WHERE webhook_id = '{deleted.webhook_id}'"
        states = {status for (status,) in scene.stack.rows(of_deleted)}
        lost = scene.lost()
        scene.figure(
            "disabled",
            passed=lost == 0 and all(seconds <= timeout + 1 for seconds in latest.values()),
            last_hit_after_disable_s=round(max(0.0, latest[disabled.path]), 2),
            last_hit_after_delete_s=round(max(0.0, latest[deleted.path]), 2),
            lost_of_the_others=lost,
        )
        assert "failed" not in states


class TestRotatedSecret:
    def test_verifies_all_the_time(self, scene: Scene) -> None:
        rotations = scene.size.count(short=2, long=4)
        pause = scene.size.pick(short=0.5, long=10)
        scene.receiver.behave(Behaviour(delay=0.02, spread=0.1))
        scene.start(webhooks=1, workers=1)
        (webhook,) = scene.subscriptions

        with scene.publishing(rate=50):
            for _ in range(rotations):
                time.sleep(pause)
                answer = scene.stack.call("POST", f"{webhook.api}/rotate_secret", {"overlap_hours": 1})
                assert answer.status == 200, answer
                # Until now the receiver knew the old secret alone, and from now on the new one.
                time.sleep(pause)
                secret = answer.json["data"]["webhook_secret"]
                scene.receiver.verify(webhook.path, secret)
                scene.secrets.append(secret)
        scene.settle()

        verified = Counter(arrival.verified for arrival in scene.receiver.arrivals())
        scene.figure(
            "secret-rotated",
            passed=set(verified) == {True},
            rotations=rotations,
            requests=verified.total(),
            verified=verified[True],
        )


class TestRetrigger:
    def test_raced_with_requests_under_way_is_one_round_each(self, scene: Scene) -> None:
        failures, clicks = scene.size.count(short=5, long=20), 10
        scene.receiver.behave(Behaviour(status=404, delay=0.02, spread=0.2))
        scene.start(webhooks=4, workers=2, max_retries=0)
        for number in range(failures):
            scene.publish(scene.subscriptions[number % 4].agent_id)
        inactive = "SELECT id FROM deliveries_failure WHERE status = 'inactive'"
        wait_until(lambda: len(scene.stack.rows(inactive)) == failures, timeout=20, what="failures")
        ids = [pk for (pk,) in scene.stack.rows(inactive)] * clicks
        scene.chance.shuffle(ids)

        def retrigger(failure_id: str) -> int:
            time.sleep(scene.chance.uniform(0, 0.5))
            return scene.stack.call("POST", f"/api/v4/tasks/webhook_failures/{failure_id}/retrigger").status

        with ThreadPoolExecutor(16) as customers:
            answers = Counter(customers.map(retrigger, ids))
        scene.settle()

        rounds = scene.stack.rows("SELECT round - 1, attempts_made - 1 FROM deliveries_delivery")
        begun, made = sum(begun for begun, _ in rounds), sum(made for _, made in rounds)
        # Each was answered with a 404, so the receiver has seen every round there was.
        lost = failures + begun - scene.receiver.count()
        scene.figure(
            "retrigger-raced",
            passed=answers[200] == begun == made and lost == 0 and answers.keys() <= {200, 409},
            requests=answers.total(),
            accepted=answers[200],
            rounds_begun=begun,
            attempts_in_them=made,
            lost=lost,
        )
