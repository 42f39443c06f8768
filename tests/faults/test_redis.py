"""Redis gone, empty, full or silent: it only makes things faster, so nothing but the latency may show it."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any
from uuid import uuid4

import pytest
from redis import Redis as Client
from redis.exceptions import OutOfMemoryError

from tests.faults.scene import Scene
from tests.servers.redis import Redis
from tests.service import ROOT
from tests.waiting import wait_until

pytestmark = pytest.mark.postgresql

# Seconds within which an event arrives although nobody was told of it, and within which its POST is answered.
DELIVERED, ANSWERED = 2.5, 0.3
# So fast, so often in a row, an event arrives only when its ring was heard: polls are a second apart.
HEARD, IN_A_ROW = 0.2, 4
# Where workers hear rings, and how many to put there at once.
QUEUE, MESSAGES = "webhooks", 1_500


class TestRedisInTrouble:
    def test_costs_latency_only(self, scene: Scene) -> None:
        """One trouble after the other; in the long run each for a minute."""

        def restart() -> None:
            scene.redis.kill()
            scene.redis.start()

        proxy = scene.through_proxy("redis")
        scene.start(webhooks=4, workers=2)
        scene.redis.configure("maxmemory-policy", "noeviction")

        self._go_through(scene, "flushed every second", each_second=scene.redis.flush)
        self._go_through(scene, "full", before=lambda: self._fill(scene.redis))
        scene.redis.restore()
        self._go_through(scene, "restarted every second, without a memory", each_second=restart)
        self._go_through(scene, "stopped", before=scene.redis.stop, after=scene.redis.start)
        # As after a failover, to whoever was the primary.
        follow, lead = (partial(scene.redis.follow, port) for port in (1, None))
        self._go_through(scene, "read-only", before=follow, after=lead)
        put = partial(self._put, scene.redis)
        self._go_through(scene, "with messages that are none", each_second=put)
        self._go_through(scene, "with something else in place of the queue", before=partial(put, "a text"))
        scene.redis.restore()
        self._go_through(scene, "silent", before=proxy.blackhole, after=proxy.forward)

    @staticmethod
    def _put(redis: Redis, instead: str = "") -> None:
        """Put what is no message into the queue, or something in place of all of it."""
        with Client.from_url(redis.url()) as client:
            if instead:
                client.set(QUEUE, instead)
            else:
                client.lpush(
                    QUEUE, "no JSON", "null", "[]", "1", "{}", '{"properties": 1}', '{"properties": {}}'
                )

    @staticmethod
    def _fill(redis: Redis) -> None:
        """Have it take no ring any more."""
        redis.configure("maxmemory", "1mb")
        with Client.from_url(redis.url()) as client, pytest.raises(OutOfMemoryError):
            client.lpush(QUEUE, "x")

    @staticmethod
    def _go_through(
        scene: Scene,
        trouble: str,
        *,
        before: Callable[[], None] | None = None,
        each_second: Callable[[], None] | None = None,
        after: Callable[[], None] | None = None,
    ) -> None:
        seconds = scene.size.count(short=2, long=60)
        if before is not None:
            before()
        with scene.publishing(rate=scene.size.pick(short=60, long=100), seconds=seconds) as published:
            for _ in range(seconds):
                time.sleep(1)
                if each_second is not None:
                    each_second()
        scene.settle()
        if after is not None:
            after()
        answered, delivered = published.answered_within(0.99), scene.delivered_within(0.95, published)
        lost = scene.lost()
        scene.figure(
            "redis",
            case=trouble,
            passed=not lost and not published.errors,
            timely=answered < ANSWERED and delivered <= DELIVERED,
            events=len(published.acknowledged),
            lost=lost,
            errors=published.errors.total(),
            ingest_p99_ms=round(answered * 1000),
            delivery_p95_ms=round(delivered * 1000),
        )


class TestDeafWorker:
    @pytest.mark.long
    def test_delivers_as_much_as_any_other(self, scene: Scene) -> None:
        """Its Redis is silent for good, everybody else's is well: rings are sent, and it hears none."""
        url = scene.stack.environment["REDIS_URL"]
        proxy = scene.through_proxy("redis")
        deaf, scene.stack.environment["REDIS_URL"] = scene.stack.environment["REDIS_URL"], url
        scene.start(webhooks=4, workers=0)
        scene.start_worker(environment={"REDIS_URL": deaf})

        proxy.blackhole()
        with scene.publishing(rate=100, seconds=scene.size.pick(short=4, long=60)) as published:
            pass
        scene.settle()

        delivered = scene.delivered_within(0.95)
        scene.figure(
            "redis",
            case="worker deaf to it for good",
            passed=not scene.lost(),
            timely=delivered <= DELIVERED,
            events=len(published.acknowledged),
            lost=scene.lost(),
            delivery_p95_ms=round(delivered * 1000),
        )


class TestHalfOpenRedis:
    @pytest.mark.long
    def test_is_given_up_for_a_new_connection(self, scene: Scene) -> None:
        proxy = scene.through_proxy("redis")
        scene.start(webhooks=1)
        for _ in range(5):
            self._deliver(scene)

        proxy.forget()
        began = time.monotonic()
        heard = 0
        while heard < IN_A_ROW:
            assert time.monotonic() < began + 60, "rings are not heard again"
            heard = heard + 1 if self._deliver(scene) < HEARD else 0
            time.sleep(0.2)

        took = time.monotonic() - began
        scene.settle()
        scene.figure(
            "half-open", case="Redis", passed=True, timely=took <= 30, heard_again_after_s=round(took, 1)
        )

    @staticmethod
    def _deliver(scene: Scene) -> float:
        """Publish an event and return how many seconds later it arrived."""
        arrivals = len(scene.receiver.arrivals())
        began = time.monotonic()
        scene.publish()
        wait_until(lambda: len(scene.receiver.arrivals()) > arrivals, timeout=10, what="the event")
        return time.monotonic() - began


def copy_of(message: dict[str, Any]) -> str:
    """Return a ring once more, for the list of those the workers hear, as another one."""
    task, properties = str(uuid4()), message["properties"]
    delivery = {**properties["delivery_info"], "routing_key": QUEUE}
    return json.dumps(
        {
            **message,
            "headers": {**message["headers"], "id": task, "root_id": task},
            "properties": {
                **properties,
                "correlation_id": task,
                "delivery_tag": str(uuid4()),
                "delivery_info": delivery,
            },
        }
    )


class TestRings:
    def test_by_the_thousand_send_nothing_twice(self, scene: Scene) -> None:
        scene.start(webhooks=4, workers=2)
        rings = scene.size.count(short=5_000, long=100_000)
        ring = (
            "import time, django; django.setup(); from deliveries import doorbell\n"
            f"for number in range({rings}):\n"
            "    doorbell.ring()\n"
            "    if number % 1000 == 0: time.sleep(0.06)\n"
        )

        with scene.publishing(rate=50, seconds=scene.size.pick(short=3, long=10)) as published:
            for _ in range(2):
                subprocess.run(
                    [sys.executable, "-c", ring], env=self._environment(scene), cwd=ROOT, check=True
                )
            with Client.from_url(scene.redis.url()) as redis:
                waiting = redis.llen(QUEUE)
        scene.settle()

        scene.figure(
            "rings",
            case="by every process",
            passed=scene.duplicates() == 0 and scene.lost() == 0 and waiting < 1_000,
            rings=2 * rings,
            events=len(published.acknowledged),
            waiting_in_redis=waiting,
            lost=scene.lost(),
            duplicates=scene.duplicates(),
        )

    @pytest.mark.long
    def test_in_the_list_itself_send_nothing_twice(self, scene: Scene) -> None:
        """As if nobody had coalesced them: a ringer puts in a hundred at most, whatever it is told.

        A worker hears some dozens a second, so the list is empty again once the rest has expired.
        """
        scene.start(webhooks=4, workers=2)

        with scene.publishing(rate=50, seconds=3) as published:
            sample = self._message(scene)
            with Client.from_url(scene.redis.url()) as redis:
                redis.lpush(QUEUE, *(copy_of(sample) for _ in range(MESSAGES)))
                began = time.monotonic()
                wait_until(lambda: redis.llen(QUEUE) == 0, timeout=90, what="an empty list")
                took = time.monotonic() - began
        scene.settle()

        lost, repeated = scene.lost(), scene.duplicates()
        scene.figure(
            "rings",
            case="put into the list itself",
            passed=(lost, repeated) == (0, 0),
            rings=MESSAGES,
            events=len(published.acknowledged),
            heard_or_expired_after_s=round(took, 1),
            lost=lost,
            duplicates=repeated,
        )

    def _message(self, scene: Scene) -> dict[str, Any]:
        """Return a ring as it lies in the list, sent to where nobody hears it."""
        send = (
            "import django; django.setup(); from celery import current_app; from deliveries import doorbell\n"
            "current_app.send_task(doorbell.TASK, queue='nobodys', expires=30, ignore_result=True)\n"
        )
        subprocess.run([sys.executable, "-c", send], env=self._environment(scene), cwd=ROOT, check=True)
        with Client.from_url(scene.redis.url()) as redis:
            message: dict[str, Any] = json.loads(redis.lpop("nobodys"))
        return message

    @staticmethod
    def _environment(scene: Scene) -> dict[str, str]:
        return {**scene.stack.environment, "DJANGO_SETTINGS_MODULE": "webhooks_project.settings"}
