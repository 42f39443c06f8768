"""Faults: the service under traffic while processes are killed, paused and cut off, and what must hold after.

A scenario is a test that takes `scene` (see `scene.Scene`), one file for each component:

    class TestRedisFlushed:
        def test_costs_nothing(self, scene: Scene) -> None:
            scene.start(webhooks=4, workers=2)              # web server, workers, webhooks at /0 ... /3
            with scene.publishing(rate=100, seconds=scene.size.pick(short=5, long=60)) as published:
                ...                                         # hurt it here
            scene.settle()

            scene.figure("redis", case="flushed", passed=scene.lost() == 0, lost=scene.lost())

Afterwards the fixture checks the invariants (`invariants.py`) by itself, so a scenario asserts only what is
its own. One that makes duplicates raises `scene.allowed_duplicates` to its bound first. What is random comes
from `scene.chance`, lengths and counts from `scene.size`: `make test` runs the short ones, which take
seconds, `make faults` the long ones, whose figures go to docs/reliability.md. A new row of that document
needs an entry in `figures.ROWS`.

Tools: `scene.through_proxy("postgresql")`, before `start`, puts a `proxy.Proxy` in front of a server;
`scene.postgresql` and `scene.redis` can be stopped, killed and started; `scene.receiver` behaves as told;
`scene.stack.environment` is what processes get that start from then on.
"""
