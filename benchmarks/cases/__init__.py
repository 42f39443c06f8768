"""The cases, one file each, in the order they are measured and told in."""

from benchmarks.case import Case
from benchmarks.cases import (
    backlog,
    bloat,
    delivery,
    hanging,
    idle,
    ingest,
    latency,
    lists,
    pruning,
    scaling,
    shapes,
)

CASES: dict[str, Case] = {
    case.name: case
    for case in (
        delivery.CASE,
        shapes.CASE,
        scaling.CASE,
        backlog.CASE,
        bloat.CASE,
        ingest.CASE,
        latency.CASE,
        hanging.CASE,
        lists.CASE,
        lists.FULL_CASE,
        lists.CONSOLE_CASE,
        pruning.CASE,
        idle.CASE,
    )
}
