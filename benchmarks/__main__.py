"""Measure: `make bench`, or `python -m benchmarks [options]`.

    python -m benchmarks                        the usual cases, and docs/performance.md of what they gave
    python -m benchmarks --quick                the most important ones, in a minute; writes no document
    python -m benchmarks --only backlog idle    these cases; of the others the document keeps what it has

Every turn is told as it ends. Ends with 0 also where a figure is missed: the document says so.
"""

import argparse
import os
import signal
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from types import FrameType

from benchmarks import figures, report
from benchmarks.case import Case, Plan
from benchmarks.cases import CASES
from benchmarks.figures import Measured
from benchmarks.ground import Ground, prepared
from tests.measuring import machine
from tests.servers import binaries
from tests.servers.process import ServerFailed


def main(arguments: Sequence[str]) -> int:
    """Measure what the arguments ask for, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", allow_abbrev=False)
    parser.add_argument("--quick", action="store_true", help="little of everything, and no document")
    parser.add_argument("--only", nargs="+", metavar="CASE", choices=CASES, help=", ".join(CASES))
    options = parser.parse_args(arguments)
    wanted = ("always",) if options.quick else ("always", "usually")
    cases = [
        case
        for case in CASES.values()
        if case.name in (options.only or ()) or (not options.only and case.when in wanted)
    ]
    began, commit, load = time.monotonic(), machine.commit(), os.getloadavg()[0]
    try:
        with prepared() as ground:
            for case in cases:
                measured = measure(case, ground, quick=options.quick, commit=commit, load=load)
                say("".join(report.table(case, measured.turns)))
                if not options.quick:
                    keep(case, measured)
    except (binaries.NotInstalled, ServerFailed) as error:
        say(str(error))
        return 1
    if not options.quick:
        report.main()
    say(f"\n{time.monotonic() - began:.0f} s in all")
    return 0


def measure(case: Case, ground: Ground, *, quick: bool, commit: str, load: float) -> Measured:
    """Measure a case, telling each turn."""
    began = time.monotonic()
    say(f"\n--- {case.title} ---")
    turns = []
    for turn in case.measure(ground, Plan(quick=quick, deadline=began + case.seconds)):
        turns.append(turn)
        first = case.columns[0]
        say(f"{turn.point}, {turn.variant}: {first.value(turn.numbers):,.{first.digits}f} {first.title}")
    say(f"{time.monotonic() - began:.0f} s")
    return Measured(
        at=datetime.now(UTC).isoformat(timespec="minutes"),
        commit=commit,
        machine=machine.describe(),
        load=round(load, 1),
        turns=turns,
    )


def keep(case: Case, measured: Measured) -> None:
    """Keep what was measured beside what is kept of other cases."""
    path = report.DOCS / "performance.json"
    figures.write(path, {**figures.read(path), case.name: measured})


def say(line: str) -> None:
    """Tell whoever waits."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _exit_on_sigterm(number: int, frame: FrameType | None) -> None:
    sys.exit(128 + number)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _exit_on_sigterm)
    sys.exit(main(sys.argv[1:]))
