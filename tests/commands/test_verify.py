"""What manage.py verify refuses. What it does, tests/e2e/test_verify.py sees."""

import io
import socket
from typing import Any

import pytest
from django.core.management import CommandError

from deliveries import clock
from deliveries.management.verifying import killing
from deliveries.models import Account, Worker
from deliveries.services import webhooks
from deliveries.services.webhooks import InvalidWebhook
from tests import builders
from tests.commands.conftest import Run


@pytest.fixture
def worker(db: None) -> Worker:
    """A worker that is alive, as far as its row says."""
    now = clock.now()
    return builders.a_worker(host=socket.gethostname(), started_at=now, seen_at=now)


class TestVerify:
    def test_wants_a_worker(self, run: Run) -> None:
        with pytest.raises(CommandError, match="No worker is alive: start one, or add --wait"):
            run("verify")

    @pytest.mark.usefixtures("worker")
    def test_says_what_lets_its_receiver_through(self, run: Run, settings: Any) -> None:
        settings.WEBHOOKS_ALLOWED_NETWORKS = ()

        with pytest.raises(CommandError, match="WEBHOOKS_ALLOWED_NETWORKS") as caught:
            run("verify")

        assert "WEBHOOKS_ALLOW_PRIVATE_NETWORKS" in str(caught.value)
        assert "WEBHOOKS_REQUIRE_HTTPS" in str(caught.value)
        assert not Account.objects.exists()

    @pytest.mark.usefixtures("worker")
    def test_says_what_else_is_in_the_way(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(**fields: Any) -> None:
            raise InvalidWebhook({"timeout": ["No longer than 3 seconds."]})

        monkeypatch.setattr(webhooks, "create", refuse)

        with pytest.raises(CommandError, match=r"refused: No longer than 3 seconds\.$"):
            run("verify")

    @pytest.mark.usefixtures("worker")
    def test_sends_to_where_workers_reach_it(self, run: Run, settings: Any) -> None:
        settings.WEBHOOKS_ALLOWED_NETWORKS = ()

        with pytest.raises(CommandError, match=r"Nothing may be sent to http://10\.1\.2\.3:[0-9]+/"):
            run("verify", "--reached-at", "10.1.2.3")

    @pytest.mark.usefixtures("worker")
    def test_kills_nothing_that_is_no_worker(self, run: Run) -> None:
        with pytest.raises(CommandError, match="There is no worker on this host"):
            run("verify", "--kill-worker", "--yes")

    @pytest.mark.parametrize("typed", ["", "yes\n", "y\n"])
    def test_kills_nothing_without_the_word(
        self, run: Run, worker: Worker, typed: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(killing, "choose", lambda now: worker)
        monkeypatch.setattr("sys.stdin", io.StringIO(typed))

        with pytest.raises(CommandError, match="Nothing was killed or published"):
            run("verify", "--kill-worker")

        assert not Account.objects.exists()

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--events", "0"], "write a whole number"),
            (["--rate", "fast"], "write a whole number"),
            (["--patience", "soon"], "whole number of seconds"),
            (["--listen", "9000"], "write a host and a port"),
            (["--listen", "127.0.0.1:http"], "write a host and a port"),
            (["--listen", "127.0.0.1:70000"], "write a host and a port"),
            (["--listen", "[::1]:9000"], "write a host and a port"),
            (["--reached-at", "10.1.2.3:9000"], "write a host without a port"),
            (["--reached-at", "a/b"], "write a host without a port"),
        ],
        ids=lambda value: " ".join(value) if isinstance(value, list) else "",
    )
    def test_says_what_is_wrong(self, run: Run, arguments: list[str], message: str) -> None:
        with pytest.raises(CommandError, match=message):
            run("verify", *arguments)
