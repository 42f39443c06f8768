"""The part of `tests.run` inside pytest: leave out what needs PostgreSQL, and say how much that is.

pytest loads it with `-p tests.sqlite_run`. Under xdist it is the workers that collect, each the same tests,
so the process that prints the summary has the count from them.
"""

from typing import Any

import pytest

_left_out = pytest.StashKey[int]()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Take the tests marked `postgresql` off the list."""
    left_out = [item for item in items if item.get_closest_marker("postgresql")]
    items[:] = [item for item in items if not item.get_closest_marker("postgresql")]
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
    terminalreporter.write_line(f"Tests left for the PostgreSQL run: {config.stash.get(_left_out, 0)}")
