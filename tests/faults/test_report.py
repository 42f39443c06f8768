"""Figures on their way into the document."""

import re
from pathlib import Path

import pytest

from tests.faults import figures, report
from tests.faults.figures import ROWS, Figures
from tests.measuring import machine


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "figures.json"


def add(
    path: Path, row: str, *, case: str = "", passed: bool = True, long: bool = True, lost: int = 0
) -> None:
    kept = Figures(path=path, seed=7, machine="2 x fast", commit="1a2b3c")
    kept.add(row, case=case, passed=passed, measured={"lost": lost, "p99_ms": 12}, long=long)


class TestFigures:
    def test_are_said(self, path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        add(path, "redis", case="full", passed=False)

        assert capsys.readouterr().out == (
            "Redis stopped, flushed every second, full, silent (full): lost 0, p99 ms 12"
            " [goal: 0 lost, ingest p99 < 300 ms, delivery p95 <= 2.5 s; MISSED]\n"
        )

    def test_are_kept_by_row_and_case_until_they_are_measured_again(self, path: Path) -> None:
        add(path, "redis", case="full", lost=3)
        add(path, "redis", case="silent")
        add(path, "beat")
        add(path, "redis", case="full", lost=0)

        kept = figures.read(path)
        assert {row: set(cases) for row, cases in kept.items()} == {"redis": {"full", "silent"}, "beat": {""}}
        assert kept["redis"]["full"].said == "lost 0, p99 ms 12"

    def test_of_short_runs_are_not_kept(self, path: Path) -> None:
        add(path, "redis", long=False)

        assert not path.exists()


class TestDocument:
    def test_says_of_every_row_where_it_stands(self, path: Path) -> None:
        add(path, "worker-killed")
        add(path, "redis", case="full", passed=False)

        text = report.write(ROWS, figures.read(path))

        assert all(f"### {row.what}\n" in text for row in ROWS.values())
        assert text.count("Not run.") == len(ROWS) - 2
        assert re.search(
            r"\| all \| lost 0, p99 ms 12 \| reached \| [\d-]{10} \| 1a2b3c \| 7 \| 1 \|\n", text
        )
        assert "| full | lost 0, p99 ms 12 | **missed** | " in text
        assert "1. 2 x fast\n" in text

    def test_is_what_the_figures_say(self) -> None:
        """Nobody has changed a figure by hand, or the words without writing the document anew."""
        written = report.write(ROWS, figures.read(report.DOCS / "reliability.json"))

        assert (report.DOCS / "reliability.md").read_text() == written

    def test_can_be_written_before_anything_was_measured(self) -> None:
        assert report.write(ROWS, {}).count("Not run.") == len(ROWS)


@pytest.mark.postgresql
def test_machine_is_described_with_its_versions() -> None:
    said = machine.describe()

    assert all(
        word in said for word in ("Python 3.", "Django ", "Celery ", "PostgreSQL ", "Redis ", "Linux ")
    )
