"""Raw numbers, what they come to over the rounds, and the file that keeps them."""

import json
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

Numbers = Mapping[str, float]
# Makes one figure of the numbers of a turn.
Value = Callable[[Numbers], float]


@dataclass(frozen=True, kw_only=True)
class Turn:
    """One measurement.

    :param point: what was measured, such as a size.
    :param variant: whose figures these are.
    :param round: turns of one round follow on one another, so what disturbs the machine disturbs all.
    :param numbers: as they came: seconds, counts.
    """

    point: str
    variant: str
    round: int
    numbers: Numbers


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A case as it was measured, when, and on what.

    :param load: how many others wanted a core when the run began.
    """

    at: str
    commit: str
    machine: str
    load: float
    turns: Sequence[Turn]


@dataclass(frozen=True)
class Spread:
    """What several rounds gave."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        """Return the spread of values, of which there must be one at least."""
        return cls(statistics.median(values), min(values), max(values))


def spread(turns: Iterable[Turn], point: str, variant: str, value: Value) -> Spread | None:
    """Return what a figure came to, over the rounds; None where that was not measured."""
    values = list(_by_round(turns, point, variant, value).values())
    return Spread.of(values) if values else None


def ratio(turns: Sequence[Turn], value: Value, *, of: tuple[str, str], to: tuple[str, str]) -> Spread | None:
    """Return the ratio of a figure to another one of the same round, over the rounds.

    :param of: the point and the variant above the line; `to` those below it.
    """
    above, below = (_by_round(turns, *each, value) for each in (of, to))
    values = [above[number] / below[number] for number in above.keys() & below.keys()]
    return Spread.of(values) if values else None


def _by_round(turns: Iterable[Turn], point: str, variant: str, value: Value) -> dict[int, float]:
    return {
        turn.round: value(turn.numbers) for turn in turns if (turn.point, turn.variant) == (point, variant)
    }


def rate(counted: str) -> Value:
    """Return how to make so many a second."""
    return lambda numbers: numbers[counted] / numbers["seconds"]


def cpu_per(counted: str, *parts: str) -> Value:
    """Return how to make the microseconds of CPU each one took: of these parts, or of all."""

    def value(numbers: Numbers) -> float:
        wanted = [f"cpu {part}" for part in parts] or [name for name in numbers if name.startswith("cpu ")]
        return sum(numbers.get(name, 0.0) for name in wanted) / numbers[counted] * 1_000_000

    return value


def per(counted: str, name: str) -> Value:
    """Return how to make a number for each one counted."""
    return lambda numbers: numbers[name] / numbers[counted]


def plain(name: str, *, times: float = 1) -> Value:
    """Return how to take a number as it is, in another unit."""
    return lambda numbers: numbers[name] * times


def milliseconds(name: str) -> Value:
    """Return how to write seconds."""
    return plain(name, times=1000)


def write(path: Path, cases: Mapping[str, Measured]) -> None:
    """Keep what was measured."""
    path.write_text(json.dumps({name: asdict(case) for name, case in cases.items()}, indent=1) + "\n")


def read(path: Path) -> dict[str, Measured]:
    """Return what a file holds, by case; nothing when there is none."""
    cases = json.loads(path.read_text()) if path.exists() else {}
    return {
        name: Measured(**{**case, "turns": [Turn(**turn) for turn in case["turns"]]})
        for name, case in cases.items()
    }
