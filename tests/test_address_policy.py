"""The address policy at every way in: what is forbidden is refused when saved, or not connected to when sent.

The grammar and the table themselves are in `test_addresses`, names and redirects in the transport's suite.
"""

import json
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.core.management import call_command
from django.test import Client

from deliveries.models import Account, Agent, Attempt, Delivery, Webhook
from deliveries.services import egress, rehearsing
from deliveries.services.dispatching import Dispatcher
from tests import builders
from tests.forbidden import DENIED_RANGES, LOCAL_NAMES, NOTORIOUS, UNCLEAR

BLOCKED, UNCLEAR_TO_US = "Blocked address", "Request could not be built"
# One of each class, for the ways that are many tests long already.
REPRESENTATIVES = [
    "http://127.0.0.1/",
    "http://169.254.169.254/latest/meta-data/",
    "http://10.0.0.1/",
    "http://[::1]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[64:ff9b::a9fe:a9fe]/",
    "http://localhost/",
    "http://metadata.google.internal/",
    "http://127.1/",
    "http://2130706433/",
    "http://0x7f000001/",
    "http://\uff11\uff12\uff17.\uff10.\uff10.\uff11/",
    "http://user:pass@10.0.0.1/",
    "http://127.0.0.1\\@example.com/",
    "http://127.0.0.1#@example.com/",
    "http://[fe80::1%25eth0]/",
    "http:///127.0.0.1/",
    "file:///etc/passwd",
    "https://example.com:22/",
    "https://example.com/\r\nHost: x",
]
every_class = pytest.mark.parametrize("url", REPRESENTATIVES, ids=ascii)


@pytest.fixture(autouse=True)
def plain_http_allowed(settings: Any) -> None:
    """Let the address alone be what is wrong with a URL."""
    settings.WEBHOOKS_REQUIRE_HTTPS = False


@pytest.fixture
def agent(account: Account) -> Agent:
    """An agent."""
    return builders.an_agent(account)


class Listener:
    """A port of this machine on which connections are counted, by whatever address they come."""

    def __init__(self) -> None:
        self._socket = socket.create_server(
            ("::", 0), family=socket.AF_INET6, dualstack_ipv6=True, backlog=1024
        )
        self._socket.setblocking(False)
        self.port: int = self._socket.getsockname()[1]

    def connections(self) -> int:
        """Return how many have come; the kernel has accepted them for us."""
        count = 0
        while True:
            try:
                connection, _ = self._socket.accept()
            except BlockingIOError:
                return count
            connection.close()
            count += 1

    def close(self) -> None:
        """Stop listening."""
        self._socket.close()


@pytest.fixture
def listener() -> Iterator[Listener]:
    """A listener."""
    listening = Listener()
    yield listening
    listening.close()


def literals(port: int) -> list[str]:
    """Return the addresses and names that lead to a port of where nothing may be sent to."""
    addresses = [*NOTORIOUS, *(text.partition("/")[0] for text in DENIED_RANGES), "10.0.0.1", "127.0.0.1"]
    hosts = [f"[{address}]" if ":" in address else address for address in dict.fromkeys(addresses)]
    # A name in capitals or with a dot at its end is never stored: it is not how we write it.
    names = [name for name in LOCAL_NAMES if name == name.lower().rstrip(".")]
    return [f"http://{host}:{port}/" for host in (*hosts, *names)]


def unclear(port: int) -> list[str]:
    """Return what cannot be read in one way only, with the port where there is room; as a row can hold it."""
    found = []
    for url in UNCLEAR:
        if "\x00" in url or not url.isascii() and any("\ud800" <= each <= "\udfff" for each in url):
            continue  # neither database would take it
        found.append(_with_port(url, port))
    return found


def _with_port(url: str, port: int) -> str:
    try:
        parts = urlsplit(url)
        roomy = parts.netloc and parts.port is None and not parts.netloc.endswith(":")
    except ValueError:
        return url
    return url.replace(parts.netloc, f"{parts.netloc}:{port}", 1) if roomy else url


def rows(urls: list[str], account: Account) -> list[Webhook]:
    """Return webhooks that point to these URLs although no way in lets them."""
    webhooks = [builders.a_webhook(account) for _ in urls]
    for webhook, url in zip(webhooks, urls, strict=True):
        Webhook.objects.filter(pk=webhook.pk).update(url=url, timeout=1)
        webhook.refresh_from_db()
    return webhooks


def deliver_all() -> None:
    """Send what is due, through the real engine."""
    transport = egress.transport(slots=8)
    try:
        done = Dispatcher(transport=transport, clock=lambda: datetime.now(UTC)).run_until_idle(
            budget=timedelta(seconds=30)
        )
    finally:
        transport.close()
    assert done


class TestSaving:
    @every_class
    def test_is_refused_by_create(self, api: Client, agent: Agent, url: str) -> None:
        response = api.post(
            f"/api/v1/agents/{agent.pk}/webhooks",
            {"name": "n", "webhook_url": url, "events": ["*"]},
            content_type="application/json",
        )

        assert (response.status_code, list(response.json()["errors"])) == (422, ["webhook_url"])
        assert not Webhook.objects.exists()

    @every_class
    def test_is_refused_by_put(self, api: Client, agent: Agent, url: str) -> None:
        webhook = builders.a_webhook(agent=agent)

        response = api.put(
            f"/api/v1/agents/{agent.pk}/webhooks/{webhook.pk}",
            {"webhook_url": url},
            content_type="application/json",
        )

        assert (response.status_code, list(response.json()["errors"])) == (422, ["webhook_url"])
        assert Webhook.objects.get().url == builders.URL

    @every_class
    @pytest.mark.parametrize("new", [True, False], ids=["add", "change"])
    def test_is_refused_by_the_console(
        self, admin_client: Client, account: Account, url: str, new: bool
    ) -> None:
        inputs = {
            "account": str(account.pk),
            "name": "n",
            "url": url,
            "http_method": "POST",
            "events": "*",
            "timeout": "30",
            "max_retries": "3",
            "max_in_flight": "10",
            "enabled": "on",
            "initial-enabled": "True",
            "authorization_scheme": "none",
        }
        path = "add" if new else f"{builders.a_webhook(account).pk}/change"

        page = admin_client.post(f"/admin/deliveries/webhook/{path}/", inputs)

        assert page.status_code == 200
        assert list(page.context["adminform"].form.errors) == ["url"]
        assert not Webhook.objects.exclude(url=builders.URL).exists()


@pytest.mark.django_db
class TestSending:
    """Rows that were written past every check: by hand, from a fixture or a backup."""

    @pytest.fixture(autouse=True, params=["requests", "curl"])
    def transport(self, request: pytest.FixtureRequest, settings: Any) -> None:
        settings.WEBHOOKS_TRANSPORT = request.param

    def test_connects_to_no_address_of_the_table(self, account: Account, listener: Listener) -> None:
        urls = literals(listener.port)
        for webhook in rows(urls, account):
            builders.a_delivery(webhook)

        deliver_all()

        assert dict(Attempt.objects.values_list("url", "error")) == dict.fromkeys(urls, BLOCKED)
        assert listener.connections() == 0

    def test_connects_to_nothing_that_is_unclear(self, account: Account, listener: Listener) -> None:
        urls = unclear(listener.port)
        assert len(urls) > 70
        for webhook in rows(urls, account):
            builders.a_delivery(webhook)

        deliver_all()

        assert dict(Attempt.objects.values_list("url", "error")) == dict.fromkeys(urls, UNCLEAR_TO_US)
        assert listener.connections() == 0

    def test_of_a_test_event_connects_to_none_of_them(self, account: Account, listener: Listener) -> None:
        urls = literals(listener.port) + unclear(listener.port)
        told = {
            webhook.url: rehearsing.rehearse(webhook, by="a test", now=builders.NOW).reason
            for webhook in rows(urls, account)
        }

        assert told == {
            **dict.fromkeys(literals(listener.port), BLOCKED),
            **dict.fromkeys(unclear(listener.port), UNCLEAR_TO_US),
        }
        assert listener.connections() == 0

    def test_connects_to_nothing_a_fixture_says(
        self, account: Account, listener: Listener, tmp_path: Path
    ) -> None:
        fixture = tmp_path / "webhooks.json"
        webhook = builders.a_webhook(account)
        call_command("dumpdata", "deliveries.webhook", output=fixture)
        (row,) = json.loads(fixture.read_text())
        row["fields"]["url"] = f"http://127.0.0.1:{listener.port}/"
        fixture.write_text(json.dumps([row]))

        call_command("loaddata", fixture, verbosity=0)
        webhook.refresh_from_db()
        delivery = builders.a_delivery(webhook)
        deliver_all()

        assert webhook.url == row["fields"]["url"]
        assert delivery.attempts.get().error == BLOCKED
        assert rehearsing.rehearse(webhook, by="a test", now=builders.NOW).reason == BLOCKED
        assert listener.connections() == 0

    def test_would_be_seen_by_the_listener(self, account: Account, listener: Listener, settings: Any) -> None:
        """That it counts nothing above means something."""
        settings.WEBHOOKS_ALLOWED_NETWORKS = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
        urls = [f"http://127.0.0.1:{listener.port}/", f"http://[::1]:{listener.port}/"]
        for webhook in rows(urls, account):
            builders.a_delivery(webhook)

        deliver_all()

        assert Delivery.objects.filter(attempts_made=1).count() == 2
        assert listener.connections() == 2
