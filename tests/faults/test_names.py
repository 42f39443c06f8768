"""Names that change their address between two questions."""

import pytest

from deliveries.reasons import Reason
from tests.faults.figures import Figures
from tests.transport import names

pytestmark = pytest.mark.sqlite


class TestRebinding:
    @pytest.mark.long
    def test_leads_nowhere(self, figures: Figures) -> None:
        """`make test` tries a thousand, in tests/transport/test_names.py."""
        sent = 10_000
        findings = names.run("requests", rebindings=sent)

        figures.add(
            "rebinding",
            passed=findings.connects["forbidden"] == 0 and findings.control["forbidden"] == 1,
            measured={
                "requests": sum(findings.rebinding.values()),
                "delivered": findings.rebinding["200"],
                "refused": findings.rebinding[Reason.BLOCKED_ADDRESS],
                "connections_to_where_nothing_may_be_sent": findings.connects["forbidden"],
                "of_a_careless_client": findings.control["forbidden"],
            },
            long=True,
        )
        assert findings.connects["forbidden"] == 0
        assert sum(findings.rebinding.values()) == sent
