"""The part of `tests.run` inside pytest: leave out what needs the other database, and say how much that is.

pytest loads it with `-p tests.one_database`. Under xdist it is the workers that collect, each the same tests,
so the process that prints the summary has the count from them.
"""

import os
from typing import Any

import pytest

_left_out = pytest.StashKey[int]()


def _other() -> str:
    """Return the database this run is not on, which is also the mark of the tests that need it."""
    return "postgresql" if os.environ["DATABASE_URL"].startswith("sqlite") else "sqlite"


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Take the tests that need the other database off the list."""
    left_out = [item for item in items if item.get_closest_marker(_other())]
    items[:] = [item for item in items if not item.get_closest_marker(_other())]
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
    terminalreporter.write_line(f"Tests left for the run on {_other()}: {config.stash.get(_left_out, 0)}")
