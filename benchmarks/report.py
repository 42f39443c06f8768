"""The document and its pictures, made of what was measured: `python -m benchmarks.report`."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks import charts, figures
from benchmarks.case import Case, Column
from benchmarks.cases import CASES
from benchmarks.charts import Bar
from benchmarks.figures import Measured, Spread, Turn
from benchmarks.goals import GOALS
from benchmarks.ground import POSTGRESQL, SERVICE

DOCS = Path(__file__).resolve().parent.parent / "docs"
PICTURES = "performance"
Cases = Mapping[str, Measured]

INTRODUCTION = """\
# What it costs

Written by `make bench`; not by hand. It starts a PostgreSQL, a Redis and receivers of its own, and needs
nothing but what `make test` needs. `make bench-quick` does the most important of it in a minute and writes
nothing; `make bench-long` adds every page of the console with ten million attempts, and a million
deliveries in a row.

Everything that is compared takes turns within one run, round after round, so that whatever else the machine
does disturbs all alike; who does not have its turn stands still. Figures are medians over the rounds, in
brackets the least and the most; ratios are of turns of the same round. CPU is user and system time of
processes with all their children, as Linux counts it. Statements are what PostgreSQL counts, `BEGIN` and
`COMMIT` included. Receiver and load share the machine, so ratios and CPU say more than rates; and where
others use it as well, their load is told, and times are longer than they would be. [Decision record
46](decisions/0046-measured-side-by-side.md) says more of how, and what the baseline is.
"""


def write(cases: Cases) -> dict[str, str]:
    """Return the document and its pictures, by their names in docs; also before anything was measured."""
    machines = sorted({each.machine for each in cases.values()})
    parts = [INTRODUCTION, *_goals(cases)]
    for case in CASES.values():
        parts.append(f"\n## {case.title}\n\n{case.says}\n\n")
        measured = cases.get(case.name)
        if measured is None:
            parts.append("Not measured.\n")
            continue
        if case.bars:
            parts.append(f"![{case.title}]({_picture(case)})\n\n")
        parts += table(case, measured.turns)
        place = machines.index(measured.machine) + 1
        parts.append(
            f"\nMeasured {measured.at[:10]}, commit {measured.commit}, machine {place};"
            f" when the run began, its load was {measured.load:g} without ours.\n"
        )
    parts += _settings()
    parts.append("\n## The machines\n\n")
    parts += [f"{place}. {machine}\n" for place, machine in enumerate(machines, 1)] or ["None yet.\n"]
    pictures = {_picture(CASES[name]): picture(CASES[name], each.turns) for name, each in cases.items()}
    return {"performance.md": "".join(parts), **{name: text for name, text in pictures.items() if text}}


def table(case: Case, turns: Sequence[Turn]) -> Iterator[str]:
    """Yield the lines of a case's table: a row for each that took turns."""
    shown = _contests(turns)
    points, variants = ({each[place] for each in shown} for place in (0, 1))
    titles = [column.title for column in case.columns]
    if case.to:
        titles.insert(1, f"to {case.to}")
    head = ["what"] * (len(points) > 1) + ["who"] * (len(variants) > 1 or len(points) == 1) + titles
    yield f"| {' | '.join(head)} |\n|{'---|' * len(head)}\n"
    for point, variant in shown:
        cells = [point] * (len(points) > 1) + [variant] * (len(variants) > 1 or len(points) == 1)
        cells += [
            _cell(column, turns, point, variant, with_spread=place == 0)
            for place, column in enumerate(case.columns)
        ]
        if case.to:
            to = (point, case.to) if case.to in variants else (case.to, variant)
            its = figures.ratio(turns, case.columns[0].value, of=(point, variant), to=to)
            cells.insert(len(cells) - len(case.columns) + 1, f"{_said(its, 2)} x" if its else "")
        yield f"| {' | '.join(cells)} |\n"


def picture(case: Case, turns: Sequence[Turn]) -> str:
    """Return a case's picture as SVG; nothing where none is drawn of it."""
    if not case.bars:
        return ""
    shown = _contests(turns)
    several = [len({each[place] for each in shown}) > 1 for place in (0, 1)]
    rows = []
    for contest in shown:
        parts = [figures.spread(turns, *contest, column.value) for column in case.bars]
        values = [max(0.0, part.median) for part in parts if part]
        label = ", ".join(name for name, is_one in zip(contest, several, strict=True) if is_one)
        rows.append(Bar(label=label, parts=values, number=f"{sum(values):,.{case.bars[0].digits}f}"))
    titles = [column.title for column in case.bars]
    unit = f": {titles[0]}" if len(titles) == 1 else ""
    return charts.bars(case.title + unit, titles, rows)


def _contests(turns: Sequence[Turn]) -> list[tuple[str, str]]:
    return list(dict.fromkeys((turn.point, turn.variant) for turn in turns))


def _cell(column: Column, turns: Sequence[Turn], point: str, variant: str, *, with_spread: bool) -> str:
    counted = [turn for turn in turns if not column.needs or column.needs in turn.numbers]
    its = figures.spread(counted, point, variant, column.value)
    if its is None:
        return ""
    return _said(its, column.digits) if with_spread else f"{its.median:,.{column.digits}f}"


def _said(its: Spread, digits: int) -> str:
    return f"{its.median:,.{digits}f} ({its.least:,.{digits}f} to {its.most:,.{digits}f})"


def _goals(cases: Cases) -> Iterator[str]:
    yield "\n## Figures to reach\n\n| figure | goal | measured | |\n|---|---|---|---|\n"
    for goal in GOALS:
        its = goal.measured(cases)
        if its is None:
            yield f"| {goal.what} | {goal.goal} | not measured | |\n"
            continue
        verdict = "reached" if goal.is_reached_by(its) else "**missed**"
        yield f"| {goal.what} | {goal.goal} | {_said(its, goal.digits)}{goal.unit} | {verdict} |\n"


def _settings() -> Iterator[str]:
    yield "\n## Settings\n\nPostgreSQL's own, but for these:\n\n"
    yield from (f"* `{name} = {value}`\n" for name, value in POSTGRESQL.items())
    yield "\nRedis keeps nothing on the disk. The service's own, but for these, and `WEBHOOKS_TRANSPORT`:\n\n"
    yield from (f"* `{name}={value}`\n" for name, value in SERVICE.items())


def _picture(case: Case) -> str:
    return f"{PICTURES}/{case.name}.svg"


def main() -> None:
    """Write."""
    (DOCS / PICTURES).mkdir(exist_ok=True)
    for name, text in write(figures.read(DOCS / "performance.json")).items():
        (DOCS / name).write_text(text)


if __name__ == "__main__":
    main()
