"""The part of `tests.run` inside pytest: leave out what is for the other database, and say how much that is.

A test is for the databases it is marked with. Without a mark it is for both if it uses the database; a test
that uses none does the same on both, and is for SQLite alone.

pytest loads it with `-p tests.one_database`. Under xdist it is the workers that collect, each the same tests,
so the process that prints the summary has the count from them.
"""

import os
from typing import Any

import pytest

BOTH = {"sqlite", "postgresql"}

_left_out = pytest.StashKey[int]()


def databases(item: pytest.Item) -> set[str]:
    """Return the databases a test is for."""
    marked = {name for name in BOTH if item.get_closest_marker(name)}
    fixtures: set[str] = set(getattr(item, "fixturenames", ()))
    uses_one = item.get_closest_marker("django_db") or fixtures & {"db", "transactional_db"}
    return marked or (BOTH if uses_one else {"sqlite"})


def _ours() -> str:
    """Return the database this run is on."""
    return "sqlite" if os.environ["DATABASE_URL"].startswith("sqlite") else "postgresql"


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Take the tests that are not for this database off the list."""
    left_out = [item for item in items if _ours() not in databases(item)]
    items[:] = [item for item in items if _ours() in databases(item)]
    config.hook.pytest_deselected(items=left_out)
    config.stash[_left_out] = len(left_out)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hand a worker's count to the process that prints; leaving out all there was is no failure."""
    left_out = session.config.stash.get(_left_out, 0)
    output: dict[str, Any] | None = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["left_out"] = left_out
    elif left_out and session.exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED:
        session.exitstatus = pytest.ExitCode.OK


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take a worker's count over, unless it crashed and left none."""
    output: dict[str, Any] = getattr(node, "workeroutput", {})
    if "left_out" in output:
        node.config.stash[_left_out] = output["left_out"]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say how many tests wait for the other run."""
    (other,) = BOTH - {_ours()}
    terminalreporter.write_line(f"Tests left for the run on {other}: {config.stash.get(_left_out, 0)}")
