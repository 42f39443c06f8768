"""Figures on their way into the document."""

import re
from collections.abc import Sequence
from xml.etree import ElementTree

import pytest

from benchmarks import charts, figures, report
from benchmarks.cases import CASES, backlog, delivery, lists
from benchmarks.charts import Bar
from benchmarks.contenders import BASELINE, CURL, FLOOR
from benchmarks.figures import Measured, Turn
from benchmarks.goals import GOALS


def measured(turns: Sequence[Turn]) -> Measured:
    return Measured(at="2026-01-02T03:04+00:00", commit="1a2b3c", machine="2 x fast", load=0.5, turns=turns)


def a_turn(variant: str, *, point: str = delivery.POINT, number: int = 0, cost: float) -> Turn:
    """A turn in which a thousand deliveries took so many microseconds each, half of it PostgreSQL's."""
    halves = {"cpu worker": cost / 2000, "cpu postgresql": cost / 2000}
    numbers = {**halves, "deliveries": 1000.0, "seconds": 2.0, "statements": 250.0}
    return Turn(point=point, variant=variant, round=number, numbers=numbers)


DELIVERY = [
    a_turn(CURL, cost=200),
    a_turn(BASELINE, cost=9000),
    a_turn(FLOOR, cost=100),
    a_turn(CURL, number=1, cost=300),
    a_turn(BASELINE, number=1, cost=9000),
    a_turn(FLOOR, number=1, cost=100),
]


class TestDocument:
    def test_is_what_the_figures_say(self) -> None:
        """Nobody has changed a figure by hand, or the words without writing the document anew."""
        for name, text in report.write(figures.read(report.DOCS / "performance.json")).items():
            assert (report.DOCS / name).read_text() == text, name

    def test_has_no_picture_that_is_of_nothing(self) -> None:
        written = report.write(figures.read(report.DOCS / "performance.json"))

        kept = {f"performance/{path.name}" for path in report.DOCS.glob("performance/*")}
        assert kept == {name for name in written if name.endswith(".svg")}

    def test_can_be_written_before_anything_was_measured(self) -> None:
        written = report.write({})

        assert list(written) == ["performance.md"]
        assert written["performance.md"].count("Not measured.") == len(CASES)
        assert written["performance.md"].count("| not measured | |") == len(GOALS)

    def test_says_of_every_goal_where_it_stands(self) -> None:
        text = report.write({"delivery": measured(DELIVERY)})["performance.md"]

        said = dict(
            re.findall(r"^\| (CPU per delivery[^|]*) \|[^|]*\|([^|]*\|[^|]*) \|$", text, re.MULTILINE)
        )
        assert said == {
            "CPU per delivery: one task per delivery against ours": " 37.5 (30.0 to 45.0) x | **missed**",
            "CPU per delivery, whole stack": " 250 (200 to 300) µs | reached",
            "CPU per delivery against bare libcurl + bulk insert": " 2.50 (2.00 to 3.00) x | reached",
        }

    def test_names_commit_and_machine(self) -> None:
        text = report.write({"delivery": measured(DELIVERY)})["performance.md"]

        assert "Measured 2026-01-02, commit 1a2b3c, machine 1; when the run began, its load was 0.5 " in text
        assert text.endswith("## The machines\n\n1. 2 x fast\n")


class TestTable:
    def test_has_ratios_to_a_variant_of_the_same_point(self) -> None:
        lines = "".join(report.table(delivery.CASE, DELIVERY)).splitlines()

        assert lines[0].startswith("| who | CPU per delivery, µs | to curl | worker |")
        assert lines[2].startswith("| curl | 250 (200 to 300) | 1.00 (1.00 to 1.00) x | 125 |")
        assert lines[3].startswith(f"| {BASELINE} | 9,000 (9,000 to 9,000) | 37.50 (30.00 to 45.00) x |")

    def test_has_ratios_to_a_point_of_the_same_variant(self) -> None:
        claims = {"claims": 10.0, "claim mean": 1.0, "claim p99": 5.0}
        turns = [
            Turn(point=point, variant=CURL, round=0, numbers={**a_turn(CURL, cost=cost).numbers, **claims})
            for point, cost in ((backlog.EMPTY, 100), (backlog.DEEP, 110))
        ]

        lines = "".join(report.table(backlog.CASE, turns)).splitlines()

        assert lines[3].startswith("| 1,000,000 | 110 (110 to 110) | 1.10 (1.10 to 1.10) x |")

    def test_leaves_empty_what_a_turn_does_not_have(self) -> None:
        ingest = CASES["ingest"]
        numbers = {"events": 10.0, "seconds": 1.0, "cpu web": 0.1, "statements": 20.0}
        turns = [Turn(point="1 KB", variant="from Python", round=0, numbers=numbers)]

        row = "".join(report.table(ingest, turns)).splitlines()[2]

        assert row.endswith("| 2.00 |  |  |  |")


class TestGoals:
    def test_belong_to_a_case(self) -> None:
        assert {goal.case for goal in GOALS} <= CASES.keys()

    def test_of_the_lists_is_the_slowest_of_the_first_pages(self) -> None:
        times = dict.fromkeys(lists.PAGES, 0.01) | {"console: events": 0.04, lists.LOGS_100: 0.2}
        turns = [
            Turn(point=page, variant=lists.FULL, round=0, numbers={"p95": took})
            for page, took in times.items()
        ]

        first, deep = (goal for goal in GOALS if goal.case == "lists-full")

        cases = {"lists-full": measured(turns)}
        figure, other = first.measured(cases), deep.measured(cases)
        assert figure is not None
        assert other is not None
        assert (round(figure.median), first.is_reached_by(figure)) == (40, True)
        assert (round(other.median), deep.is_reached_by(other)) == (200, False)

    def test_of_the_console_is_its_slowest_page(self) -> None:
        turns = [
            Turn(point=page, variant=lists.CONSOLE, round=0, numbers={f"p95 {lists.FULL}": took})
            for page, took in {"the inbox": 0.05, "system": 0.4}.items()
        ]

        (goal,) = (goal for goal in GOALS if goal.case == lists.CONSOLE)

        figure = goal.measured({lists.CONSOLE: measured(turns)})
        assert figure is not None
        assert (round(figure.median), goal.is_reached_by(figure)) == (400, False)


class TestPicture:
    def test_has_bars_as_long_as_their_numbers(self) -> None:
        rows = [
            Bar(label="a < b", parts=[10, 20], number="30"),
            Bar(label="c", parts=[5, 10], number="15"),
        ]

        picture = ElementTree.fromstring(charts.bars("Cost & more", ["worker", "PostgreSQL"], rows))

        widths = [float(each.attrib["width"]) for each in picture if each.attrib.get("height") == "16"]
        whole = charts.WIDTH - charts.LABELS - charts.NUMBERS
        assert widths == pytest.approx([whole / 3, whole * 2 / 3, whole / 6, whole / 3], abs=0.1)
        texts = [each.text for each in picture if each.tag.endswith("text")]
        assert texts == ["Cost & more", "a < b", "30", "c", "15", "worker", "PostgreSQL"]

    def test_is_drawn_of_a_case(self) -> None:
        picture = report.picture(delivery.CASE, DELIVERY)

        assert "one task per delivery</text>" in picture
        assert ">9,000</text>" in picture
        assert report.picture(CASES["ingest"], DELIVERY) == ""


class TestCases:
    def test_take_ten_minutes_at_most(self) -> None:
        usual = [case.seconds for case in CASES.values() if case.when != "asked"]

        assert sum(usual) <= 600 - 30  # the servers take some, too

    def test_have_a_name_that_is_a_file(self) -> None:
        assert all(re.fullmatch(r"[a-z-]+", name) for name in CASES)
