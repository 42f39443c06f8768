"""How measurements are made into figures."""

import math
from collections.abc import Sequence

# Seconds a p95 or a p99 may take while nothing is wrong. Beyond, it says how busy the machine is: whatever is
# compared with it looks well.
BASELINE = 0.5


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value that this share of them do not exceed: 0.95 asks for the p95.

    :raises AssertionError: there are none.
    """
    assert values, "nothing was measured"
    return sorted(values)[max(0, math.ceil(len(values) * share) - 1)]


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Return by how much the second number grows for each one of the first, on the line closest to all."""
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / spread if spread else 0.0


def objection(baseline: float | None) -> str:
    """Return why a ratio to a baseline, in seconds, says nothing; an empty text where it says something.

    :param baseline: None for what is compared with none.
    """
    if baseline is None or baseline <= BASELINE:
        return ""
    return f"the machine was too slow to measure: {baseline:.1f} s while nothing was wrong"
