"""manage.py recount_logs."""

from deliveries.models import WebhookHealth
from tests import builders
from tests.commands.conftest import Run


class TestRecountLogs:
    def test_says_what_it_found(self, run: Run) -> None:
        builders.a_failed_delivery()
        builders.a_failed_delivery()
        assert run("recount_logs").stdout == "Counted the attempts of 2 webhooks; 0 totals were wrong.\n"
        WebhookHealth.objects.update(attempts_kept=7)

        assert run("recount_logs").stdout == "Counted the attempts of 2 webhooks; 2 totals were wrong.\n"
