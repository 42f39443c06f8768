"""manage.py explain."""

import pytest
from django.core.management import CommandError

from tests import builders
from tests.commands.conftest import Run

pytestmark = pytest.mark.django_db


class TestExplain:
    def test_says_what_became_of_each_delivery(self, run: Run) -> None:
        failed = builders.a_failed_delivery(builders.a_webhook(name="First"))
        builders.a_delivery(builders.a_webhook(failed.account, name="Second\x1b[31m"), event=failed.event)
        builders.a_webhook(failed.account, name="Third", events=["message.*"])

        lines = run(
            "explain", f"https://webhooks.example.com/api/v1/events/{failed.event_id}"
        ).stdout.splitlines()

        assert lines[0] == "It went to 2 webhooks and has arrived at 0 of them."
        assert lines[2].startswith("* First did not take it in 1 attempt.")
        assert lines[3] == "  -> Send it again once the receiver is well."
        assert lines[4].startswith("* It has been waiting to be sent to Second\\x1b[31m since ")
        assert lines[-1] == "* Not sent: Third was not subscribed to events of this type."

    def test_fails_where_nothing_is_known(self, run: Run) -> None:
        with pytest.raises(CommandError, match="Nothing is known by that"):
            run("explain", "4711")
