"""The metrics, in the form Prometheus reads. What each means is in docs/operating.md.

The numbers of the service come from the database, so every web process gives the same. What a web process
says of itself carries its process id: gunicorn lets any of them answer, and the series must not mix.
"""

import math
import os
import platform
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime

import django
from django.db import Error as DatabaseError
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from deliveries import clock, doorbell
from deliveries.models import Worker
from deliveries.models.databases import is_away
from deliveries.probes import readiness
from deliveries.probes.errands import Errand
from deliveries.services import measuring
from deliveries.services.measuring import Inbox, Measures

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
# How long the database is waited for, in seconds: less than a scrape may take.
PATIENCE = 5.0


# What the counts of deliveries and failures end with.
_BOUND = f"{measuring.MOST} stands for as many or more."


@dataclass(frozen=True, kw_only=True)
class Numbers:
    """What the database says of the service."""

    measures: Measures
    inbox: Inbox


def ask(*, now: datetime) -> Numbers:
    """Ask the database.

    :raises django.db.Error: when it is away.
    """
    measures = measuring.measure(now=now)
    return Numbers(measures=measures, inbox=measuring.inbox(measures.failures, now=now))


def expose() -> bytes:
    """Return all metrics; without the database's numbers those of the process, and whether it is away."""
    try:
        return render(_numbers.answer(), up=True)
    except TimeoutError:
        return render(None, up=readiness.database_answers())
    except DatabaseError as error:
        return render(None, up=not is_away(error))


def render(numbers: Numbers | None, *, up: bool) -> bytes:
    """Return metrics in the text form.

    :param up: whether the database answers, be it too slowly to give the numbers.
    """
    registry = CollectorRegistry()
    registry.register(_Collector(numbers, up=up))
    return generate_latest(registry)


class _Collector(Collector):
    def __init__(self, numbers: Numbers | None, *, up: bool) -> None:
        self._numbers = numbers
        self._up = up

    def collect(self) -> Iterator[Metric]:
        yield _gauge("database_up", "Whether the database answers.", self._up)
        complete = "Whether the database gave the numbers of the service in time."
        yield _gauge("scrape_complete", complete, self._numbers is not None)
        if self._numbers is not None:
            yield from _of_the_queue(self._numbers.measures)
            yield from _of_the_failures(self._numbers)
            yield from _of_the_workers(self._numbers.measures)
        yield from _of_this_process()


def _of_the_queue(measures: Measures) -> Iterator[Metric]:
    oldest = measures.oldest_due_at
    age = (measures.at - oldest).total_seconds() if oldest else 0.0
    yield _gauge("due", f"Deliveries that wait for a worker. {_BOUND}", measures.due)
    could_be_taken = "For how long the oldest of those has been due that a worker could take now."
    yield _gauge("oldest_due_age_seconds", could_be_taken, max(0.0, age))
    yield _gauge("in_flight", f"Deliveries with a worker. {_BOUND}", measures.in_flight)
    yield _gauge("scheduled", f"Deliveries whose next attempt is later. {_BOUND}", measures.scheduled)
    yield _gauges("held", f"Deliveries kept back, by reason. {_BOUND}", "reason", measures.held)
    yield _gauges("stranded", f"Deliveries nobody seems to care for. {_BOUND}", "why", measures.stranded)
    yield _gauges("circuits", "Webhooks whose circuit is not closed.", "state", measures.circuits)
    yield _gauge("pauses", "Pauses in force.", measures.pauses)
    ages = {
        name: max(0.0, (measures.at - done_at).total_seconds()) if done_at else math.inf
        for name, done_at in measures.chores.items()
    }
    yield _gauges("chore_age_seconds", "How long ago beat had each chore done.", "chore", ages)


def _of_the_failures(numbers: Numbers) -> Iterator[Metric]:
    waiting = (
        "Failures nothing happens to by itself: open ones need a person, the others somebody dealt with."
    )
    yield _gauges("failures_waiting", f"{waiting} {_BOUND}", "state", asdict(numbers.inbox))
    killed = "Those of them, of any state, whose workers died of them."
    yield _gauge("failures_worker_killed", killed, numbers.measures.killed)


def _of_the_workers(measures: Measures) -> Iterator[Metric]:
    counts = {"alive": len(measures.alive), "silent": measures.silent}
    yield _gauges("workers", "Processes that deliver.", "state", counts)
    # A container that is started again may have the name and the process id of the one that died just before.
    # A series may be there only once, or nothing is taken.
    by_name = {str(worker): worker for worker in sorted(measures.alive, key=lambda each: each.started_at)}
    gauges = {
        "under_way": "Exchanges under way.",
        "slots": "Exchanges under way at most.",
        "unrecorded": "Results not written yet.",
    }
    for name, text in gauges.items():
        values = {label: getattr(worker, name) for label, worker in by_name.items()}
        yield _gauges(f"worker_{name}", text, "worker", values)
    skews = {label: _skew(worker) for label, worker in by_name.items()}
    yield _gauges("worker_clock_skew_seconds", "How far its host's clock is ahead.", "worker", skews)
    counters = {
        "recorded": "Results written.",
        "fenced": "Results of old claims that changed nothing.",
        "database_errors": "Times the database failed it.",
        "doorbell_errors": "Rings its broker did not take.",
    }
    for name, text in counters.items():
        family = CounterMetricFamily(f"webhooks_worker_{name}", text, labels=["worker"])
        for label, worker in by_name.items():
            family.add_metric([label], getattr(worker, name))
        yield family


def _of_this_process() -> Iterator[Metric]:
    pid = str(os.getpid())
    errors = CounterMetricFamily(
        "webhooks_web_doorbell_errors", "Rings the broker did not take from this process.", labels=["pid"]
    )
    errors.add_metric([pid], doorbell.errors())
    yield errors
    skew = {pid: clock.skew().total_seconds()}
    yield _gauges("web_clock_skew_seconds", "How far this host's clock is ahead.", "pid", skew)
    versions = {"python": platform.python_version(), "django": django.get_version()}
    build = GaugeMetricFamily("webhooks_build_info", "What is running.", labels=list(versions))
    build.add_metric(list(versions.values()), 1)
    yield build
    yield from _kept_apart(ProcessCollector(registry=None).collect(), pid)


def _kept_apart(metrics: Iterable[Metric], pid: str) -> Iterator[Metric]:
    for metric in metrics:
        metric.samples = [sample._replace(labels={"pid": pid}) for sample in metric.samples]
        yield metric


def _skew(worker: Worker) -> float:
    return worker.clock_skew.total_seconds() if worker.clock_skew else 0.0


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"webhooks_{name}", text, value=value)


def _gauges(name: str, text: str, label: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(f"webhooks_{name}", text, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family


_numbers = Errand(lambda: ask(now=clock.now()), patience=PATIENCE)
