"""What a trial came to: counted from what was published and what arrived."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from deliveries.management.verifying.receiving import Arrival
from deliveries.printing import printable


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The figures; times are milliseconds from publishing an event to its first arrival.

    :param duplicates: arrivals of an event after its first.
    :param signature_failures: arrivals that were not signed with the webhook's secret.
    :param killed: the process id of the worker that was killed.
    :param reasons: why attempts failed, the most frequent first.
    """

    wanted: int
    published: int
    arrived: int
    lost: int
    duplicates: int
    signature_failures: int
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    killed: int | None
    reasons: Sequence[str]

    @property
    def good(self) -> bool:
        """Whether everything was published, arrived, and was signed as it should be."""
        return self.published == self.wanted and not self.lost and not self.signature_failures

    def lines(self) -> list[str]:
        """Return the figures for people."""
        times = ((50, self.p50_ms), (95, self.p95_ms), (99, self.p99_ms))
        told = [
            f"published            {self.published}",
            f"arrived              {self.arrived}",
            f"lost                 {self.lost}",
            f"duplicates           {self.duplicates}",
            f"signature failures   {self.signature_failures}",
            *(f"p{share}                  {time:.1f} ms" for share, time in times if time is not None),
        ]
        told += [f"killed               worker with process id {self.killed}"] if self.killed else []
        return told + [f"attempts failed      {printable(reason)}" for reason in self.reasons]


def count(
    published: Mapping[str, datetime],
    arrivals: Iterable[Arrival],
    *,
    wanted: int,
    killed: int | None = None,
    reasons: Sequence[str] = (),
) -> Outcome:
    """Count.

    :param published: the ids of the events, with the moment each was handed in.
    :param arrivals: those of other events are left out.
    """
    ours = [arrival for arrival in arrivals if arrival.event_id in published]
    times = Counter(arrival.event_id for arrival in ours)
    first: dict[str, datetime] = {}
    for arrival in ours:
        first[arrival.event_id] = min(arrival.at, first.get(arrival.event_id, arrival.at))
    waits = sorted((at - published[event]).total_seconds() * 1000 for event, at in first.items())
    return Outcome(
        wanted=wanted,
        published=len(published),
        arrived=len(first),
        lost=len(published) - len(first),
        duplicates=times.total() - len(first),
        signature_failures=sum(not arrival.verified for arrival in ours),
        p50_ms=_percentile(waits, 0.50),
        p95_ms=_percentile(waits, 0.95),
        p99_ms=_percentile(waits, 0.99),
        killed=killed,
        reasons=reasons,
    )


def _percentile(ordered: Sequence[float], share: float) -> float | None:
    """Return the value this share of them do not exceed; None where there are none."""
    return round(ordered[max(0, math.ceil(len(ordered) * share) - 1)], 1) if ordered else None
