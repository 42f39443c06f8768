"""What a case is: one thing that is measured, in rounds, and the figures that its numbers make."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from benchmarks.figures import Numbers, Turn, Value
from benchmarks.ground import Ground

# With fewer there is no spread, however short the time is.
LEAST_ROUNDS = 2


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much to do.

    :param quick: little of everything.
    :param deadline: of the case, by the monotonic clock; another round begins only before it.
    """

    quick: bool
    deadline: float

    def pick(self, *, quick: int, usual: int) -> int:
        """Return the number for this run."""
        return quick if self.quick else usual


@dataclass(frozen=True, kw_only=True)
class Contest:
    """One of those that have a turn in each round."""

    point: str
    variant: str
    turn: Callable[[], Numbers]


@dataclass(frozen=True, kw_only=True)
class Column:
    """A figure as the document has it."""

    title: str
    value: Value
    digits: int = 0
    # Numbers that some turns do not have: their cells stay empty.
    needs: str = ""


@dataclass(frozen=True, kw_only=True)
class Case:
    """One thing that is measured.

    :param says: what is done, and how to read it.
    :param seconds: how long it takes at most, give or take a round.
    :param when: in every run, in the usual one, or only when it is asked for by name.
    :param columns: the figures; ratios are made of the first.
    :param to: what the ratios are to: the variant of the same point, or the point of the same variant.
    :param bars: the figures that are drawn, one behind the other in each bar; nothing is drawn of none.
    """

    name: str
    title: str
    says: str
    seconds: float
    when: Literal["always", "usually", "asked"] = "usually"
    columns: Sequence[Column]
    to: str = ""
    bars: Sequence[Column] = ()
    measure: Callable[[Ground, Plan], Iterator[Turn]]


def rounds(plan: Plan, contests: Sequence[Contest], *, most: int) -> Iterator[Turn]:
    """Have everybody take turns, round after round, so that what disturbs the machine disturbs all alike."""
    for number in range(most):
        if number >= LEAST_ROUNDS and time.monotonic() > plan.deadline:
            return
        for contest in contests:
            yield Turn(point=contest.point, variant=contest.variant, round=number, numbers=contest.turn())
