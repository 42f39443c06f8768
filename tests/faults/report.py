"""Write docs/reliability.md from the figures of the last long runs: `python -m tests.faults.report`."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.faults import figures
from tests.faults.figures import Measured, Row

DOCS = Path(__file__).resolve().parent.parent.parent / "docs"

INTRODUCTION = """\
# What was measured

Written by `make faults` and `make soak`; not by hand. The first kills, freezes, cuts off and fills up what
the service consists of, while a customer publishes through its API at a fixed rate; the second lets it work
for an hour. Both use real processes: gunicorn, Celery workers, PostgreSQL and Redis on one machine, along
with the customer and the receiver. Leases and timeouts are made short, so that minutes are enough.
`make test` does most of it too, for seconds instead of minutes.

After every scenario these must hold, or it has failed whatever its figure says:

1. every acknowledged event is in the database, once, with exactly one delivery for each webhook that wants
   it;
2. nothing is overdue, and nothing finished is still claimed;
3. what says "succeeded" was seen by the receiver;
4. no more requests arrived twice than the scenario allows: none, but where workers are killed, frozen or made
   to let go of what they are at, or the database's clock or its backup takes leases away;
5. attempts are numbered without a gap, and nothing follows a success;
6. every request carries the same id and body as before, a time of its own, and a signature that verifies;
7. a worker process holds two database connections at most, and after it has warmed up no more threads and
   sockets than it has use for, and 24 MB or a tenth more memory; none has ended that was not told to;
8. no log holds a key, a secret or a payload;
9. nothing a receiver answered with a 2xx is recorded as failed, and nothing was given up because its workers
   died, unless that is what the scenario is about.

"""


def write(rows: Mapping[str, Row], measured: Mapping[str, Mapping[str, Measured]]) -> str:
    """Return the document: every row, also those that were not run."""
    machines = sorted({each.machine for cases in measured.values() for each in cases.values()})
    parts = [INTRODUCTION, "## The figures\n"]
    for key, row in rows.items():
        parts.append(f"\n### {row.what}\n\n{row.meaning}\n\nGoal: {row.goal}.\n\n")
        parts += _cases(measured.get(key, {}), machines)
    parts.append("\n## The machines\n\n")
    parts += [f"{place}. {machine}\n" for place, machine in enumerate(machines, 1)] or ["None yet.\n"]
    return "".join(parts)


def _cases(cases: Mapping[str, Measured], machines: list[str]) -> Iterator[str]:
    if not cases:
        yield "Not run.\n"
        return
    yield "| case | measured | goal | when | commit | seed | machine |\n|---|---|---|---|---|---|---|\n"
    for case, each in sorted(cases.items()):
        verdict = "reached" if each.passed else "**missed**"
        machine = machines.index(each.machine) + 1
        yield (
            f"| {case or 'all'} | {each.said} | {verdict} | {each.at[:10]} | {each.commit} | {each.seed}"
            f" | {machine} |\n"
        )


if __name__ == "__main__":
    document = write(figures.ROWS, figures.read(DOCS / "reliability.json"))
    (DOCS / "reliability.md").write_text(document)
