"""What the service holds on to while it works for long."""

import time
from typing import Any

import pytest

from tests.faults.receiver import Behaviour
from tests.faults.scene import Scene, Size
from tests.measuring.measures import slope

pytestmark = pytest.mark.postgresql

# A run shorter than this, in minutes, says little about a slope, and its figure is not kept.
TELLING = 10
# Bytes a minute, for all processes together, gunicorn and beat as well as the workers:
# of a long run, and of one that has hardly warmed up.
GOAL, CRUDE = 1 * 2**20, 60 * 2**20
# How much of the run is warming up: pools fill, modules load, statistics begin.
WARMING_UP = 0.25
SAMPLES = 60


class TestSoak:
    def test_holds_on_to_nothing(self, scene: Scene, request: pytest.FixtureRequest) -> None:
        minutes = request.config.getoption("--soak-minutes")
        scene.size = Size(long=minutes >= TELLING)
        scene.receiver.behave(Behaviour(delay=0.02, spread=0.18))
        scene.start(webhooks=10, workers=2, beat=True)
        sizes: list[tuple[float, float]] = []
        held: list[dict[str, int]] = []
        began = time.monotonic()

        with scene.publishing(rate=scene.size.pick(short=50, long=200)) as published:
            time.sleep(WARMING_UP * minutes * 60)
            for _ in range(SAMPLES):
                time.sleep((1 - WARMING_UP) * minutes * 60 / SAMPLES)
                footprints = scene.footprints(*scene.stack.processes).values()
                resident = sum(each.resident for each in footprints)
                sizes.append(((time.monotonic() - began) / 60, resident))
                held.append(
                    {
                        "files": sum(each.files - each.sockets for each in footprints),
                        "sockets": sum(each.sockets for each in footprints),
                        "threads": sum(each.threads for each in footprints),
                        "connections": sum(
                            each.connections([scene.postgresql.port, scene.redis.port]) for each in footprints
                        ),
                    }
                )
        # A machine that did other things as well has a queue by now, which is not what is asked here.
        scene.settle(timeout=scene.size.pick(short=60, long=900))

        growing, lost = slope(sizes), scene.lost()
        # Connections of publishers and to receivers come and go; what grows shows in the later half.
        half = len(held) // 2
        grown = {
            name: max(each[name] for each in held[half:]) - max(each[name] for each in held[:half])
            for name in held[0]
        }
        allowed = {"files": 2, "sockets": 16, "threads": 0, "connections": 1}
        if not scene.size.long:
            # gunicorn starts a thread, and the thread a connection, when it first needs one; each of the two
            # workers opens its authorities and the two wake-ups of libcurl with its first delivery.
            allowed |= {"threads": 16, "connections": 17, "files": 8}
        flat = all(grown[name] <= allowed[name] for name in grown)
        said: dict[str, Any] = {f"{name}_grown_by": number for name, number in grown.items()}
        scene.figure(
            "soak",
            passed=growing < (GOAL if scene.size.long else CRUDE) and flat and lost == 0,
            minutes=minutes,
            events=len(published.acknowledged),
            lost=lost,
            RSS_slope_MB_per_min=round(growing / 2**20, 2),
            delivery_p95_s=round(scene.delivered_within(0.95), 2),
            **said,
        )
