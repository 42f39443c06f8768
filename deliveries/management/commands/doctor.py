"""Say what is wrong, and what to do about it."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from django.core.management.base import CommandParser

from deliveries import clock
from deliveries.management.try_it.beside import BesideCommand
from deliveries.printing import printable
from deliveries.services import diagnosing
from deliveries.services.diagnosing import Finding, Verdict


class Command(BesideCommand):
    """Ends with 1 where something is broken, which is when events are not taken or not delivered."""

    help = "Look at everything, from settings to failures, and say what to do. Ends with 1 if one is broken."
    # It tells what they say itself, also where they would not let it start.
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        """Say for whom."""
        parser.add_argument("--json", action="store_true", help="one line of JSON")
        super().add_arguments(parser)

    def handle(self, *, json: bool, **options: Any) -> None:
        """Tell the findings."""
        findings = diagnosing.diagnose(now=clock.now(), skew=clock.skew())
        worst = diagnosing.worst(findings)
        self.stdout.write(_as_json(findings, worst) if json else self._as_text(findings))
        if worst is Verdict.BROKEN:
            sys.exit(1)

    def _as_text(self, findings: Sequence[Finding]) -> str:
        width = max(len(finding.about) for finding in findings)
        colours = {
            Verdict.OK: self.style.SUCCESS,
            Verdict.LOOK: self.style.WARNING,
            Verdict.BROKEN: self.style.ERROR,
        }
        lines = []
        for finding in findings:
            verdict = colours[finding.verdict](f"{finding.verdict:6}")
            lines.append(f"{verdict}  {finding.about:{width}}  {printable(finding.says)}")
            if finding.todo:
                lines.append(f"{'':{6 + 2 + width}}  -> {printable(finding.todo)}")
        return "\n".join(lines)


def _as_json(findings: Sequence[Finding], worst: Verdict) -> str:
    told = [asdict(finding) for finding in findings]
    for finding in told:
        # They are pages of the console.
        del finding["places"]
    return json.dumps({"verdict": worst, "findings": told})
