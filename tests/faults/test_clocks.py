"""Clocks that are wrong, and clocks that jump: those of the hosts do not count, only the database's does."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.receiver import Behaviour
from tests.faults.scene import SLOTS, Scene
from tests.servers import binaries

pytestmark = pytest.mark.postgresql

# The wait before a retry in these scenes, in seconds, and the least of it that jitter leaves.
DELAY, LEAST = 3, 0.8 * 3
# What requests under way may take off the time between two arrivals.
BLUR = 0.3


class Clock:
    """What a process is shown instead of the time. It takes a step from one second to the next."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / f"clock-{time.monotonic_ns()}"
        self.step(0)

    @property
    def environment(self) -> dict[str, str]:
        """Variables for the process. Its monotonic clock is left alone, as a step leaves every real one."""
        return {
            "LD_PRELOAD": str(binaries.faketime()),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    def step(self, seconds: int) -> None:
        """Be so far from the truth from now on."""
        self._file.write_text(f"{seconds:+d}\n")
        self._file.chmod(0o644)


class TestHosts:
    @pytest.mark.long
    def test_two_hours_apart_send_nothing_early_and_nothing_twice(self, scene: Scene) -> None:
        scene.stack.environment["WEBHOOKS_RETRY_DELAYS"] = ",".join([str(DELAY)] * 10)
        scene.start(webhooks=4, workers=0)
        for seconds in (7200, -7200):
            clock = Clock(scene.stack.folder)
            clock.step(seconds)
            scene.start_worker(environment=clock.environment)
        self._publish_to_who_refuses_at_first(scene)

        assert "clock.skewed" in scene.stack.log("worker")
        self._report(scene, "two workers +/- 2 h")

    @pytest.mark.long
    def test_that_step_by_an_hour_change_nothing(self, scene: Scene) -> None:
        scene.stack.environment["WEBHOOKS_RETRY_DELAYS"] = ",".join([str(DELAY)] * 10)
        scene.start(webhooks=4, workers=1)
        clock = Clock(scene.stack.folder)
        scene.start_worker(environment=clock.environment)
        self._publish_to_who_refuses_at_first(scene, clock)

        self._report(scene, "a worker's clock steps by +/- 1 h")

    @staticmethod
    def _publish_to_who_refuses_at_first(scene: Scene, clock: Clock | None = None) -> None:
        # A refusal, which opens no circuit: the schedule alone says when to try again.
        scene.receiver.behave(Behaviour(status=404), Behaviour(delay=0.1))
        seconds = scene.size.pick(short=3, long=60)
        with scene.publishing(rate=scene.size.pick(short=30, long=100), seconds=seconds):
            for step in (3600, -3600, 0):
                time.sleep(seconds / 4)
                if clock is not None:
                    clock.step(step)
        scene.settle()

    @staticmethod
    def _report(scene: Scene, case: str) -> None:
        early, repeated, lost = early_retries(scene), scene.duplicates(), scene.lost()
        retried = sum(arrival.attempt == 2 for arrival in scene.receiver.arrivals())
        assert retried == len(scene.expected())
        scene.figure(
            "clocks",
            case=case,
            passed=not (early or repeated or lost),
            deliveries=len(scene.expected()),
            early_retries=early,
            duplicates=repeated,
            lost=lost,
        )


class TestDatabase:
    @pytest.fixture
    def clock(self, scene: Scene) -> Iterator[Clock]:
        """The clock of PostgreSQL."""
        clock = Clock(scene.postgresql.folder)
        scene.postgresql.environment = clock.environment
        scene.postgresql.restart()
        yield clock
        scene.postgresql.environment = {}
        scene.postgresql.restart()

    @pytest.mark.long
    def test_that_steps_costs_time_and_a_few_duplicates(self, scene: Scene, clock: Clock) -> None:
        """Less far than receivers grant a timestamp: further off, no signature would be taken any more."""
        step = scene.size.count(short=15, long=240)
        steps = (step, 0) if scene.size.long else (step,)
        scene.allowed_duplicates = 2 * SLOTS
        scene.receiver.behave(Behaviour(delay=0.1))
        scene.start(webhooks=4, workers=2)

        with scene.publishing(rate=30) as published:
            for seconds in steps:
                time.sleep(1.5)
                clock.step(seconds)
                # Workers ask the database for the time every ten seconds.
                time.sleep(scene.size.pick(short=11, long=30))
                assert abs(ahead(scene) - seconds) < 2
        scene.settle(timeout=step + 60, horizon=step + 30)

        lost, repeated = scene.lost(), scene.duplicates()
        scene.figure(
            "clocks",
            case=f"the database's steps by {step} s",
            passed=not lost and repeated <= scene.allowed_duplicates and not published.given_up,
            events=len(published.acknowledged),
            lost=lost,
            duplicates=repeated,
            latest_s=round(scene.delivered_within(1.0), 1),
        )


def ahead(scene: Scene) -> float:
    """Return how many seconds the database's clock is ahead of ours."""
    ((there,),) = scene.stack.rows("SELECT extract(epoch FROM clock_timestamp())")
    return float(there) - time.time()


def early_retries(scene: Scene) -> int:
    """Return how many attempts came sooner after the one before than the schedule says."""
    before: dict[tuple[str, str], float] = {}
    early = 0
    for arrival in scene.receiver.arrivals():
        key = (arrival.path, arrival.event_id)
        early += key in before and arrival.at - before[key] < LEAST - BLUR
        before[key] = arrival.at
    return early
