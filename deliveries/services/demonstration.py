"""The demo data: an account whose webhooks point at the built-in receiver, one of them of each temper."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from urllib.parse import urljoin
from uuid import UUID

from django.db import transaction

from deliveries import signing
from deliveries.models import Account, Agent, Webhook
from deliveries.services import removing, webhooks

# One account of this id at most, whatever it is called later.
ACCOUNT_ID = UUID("01900000-0000-7000-8000-000000000001")
ACCOUNT_NAME = "Harbour Telecom (demo)"
AGENT_NAMES = ("Reception", "Sales desk")
BY = "manage.py demo"
DISABLED_REASON = "Switched off for the demonstration."

# By the name of the receiver each points at. What fails for good does so at once, so that there is a failure
# to look at; what fails now and then has the retries it takes.
WEBHOOKS: Mapping[str, webhooks.Fields] = MappingProxyType(
    {
        "healthy": {"name": "Healthy receiver", "events": ["*"], "timeout": 10},
        "flaky": {"name": "Flaky receiver", "events": ["call.*", "message.*"], "timeout": 10},
        "failing": {"name": "Failing receiver", "events": ["call.ended"], "timeout": 10, "max_retries": 0},
        "disabled": {"name": "Disabled receiver", "events": ["*"], "timeout": 10},
    }
)


@dataclass(frozen=True, kw_only=True)
class Tenant:
    """The demo account and its agents; all demo webhooks belong to the first."""

    account: Account
    agents: tuple[Agent, ...]


def tenant(*, now: datetime) -> Tenant:
    """Return the demo account with its agents, made when they are not there yet."""
    with transaction.atomic():
        account, _ = Account.objects.get_or_create(
            pk=ACCOUNT_ID, defaults={"name": ACCOUNT_NAME, "created_at": now}
        )
        agents = tuple(
            Agent.objects.get_or_create(account=account, name=name, defaults={"created_at": now})[0]
            for name in AGENT_NAMES
        )
    return Tenant(account=account, agents=agents)


def furnish(tenant: Tenant, *, receiver: str, now: datetime) -> list[Webhook]:
    """Give the demo account its webhooks, or bring those it has to the receiver's present address.

    What somebody has changed about them otherwise, or deleted, stays as it is.

    :param receiver: the built-in receiver's URL, ending with a slash; the address policy must let it pass.
    :raises deliveries.services.webhooks.InvalidWebhook: the address policy does not.
    """
    with transaction.atomic():
        return [_webhook(tenant, name, receiver=receiver, now=now) for name in WEBHOOKS]


def clear() -> bool:
    """Delete the demo account with all that belongs to it, and nothing else. Tell whether there was one."""
    return removing.remove(ACCOUNT_ID)


def secrets_of(url: str) -> list[str]:
    """Return the secrets of the webhooks that point at this very URL, as its receiver would know them.

    :raises deliveries.secrets.Undecryptable: when none of ENCRYPTION_KEYS opens one of them.
    """
    pointing_here = Webhook.objects.existing().filter(url=url)
    return [webhook.secret.reveal() for webhook in pointing_here if webhook.secret is not None]


def _webhook(tenant: Tenant, name: str, *, receiver: str, now: datetime) -> Webhook:
    path = f"receivers/{name}"
    url = urljoin(receiver, path)
    there = Webhook.objects.filter(account=tenant.account, url__endswith=f"/{path}").order_by("created_at")
    webhook = there.first()
    if webhook is None:
        fields: webhooks.Fields = {**WEBHOOKS[name], "url": url, "secret": signing.new_secret()}
        webhook = webhooks.create(account=tenant.account, agent=tenant.agents[0], by=BY, now=now, **fields)
        if name == "disabled":
            webhooks.disable(webhook.pk, reason=DISABLED_REASON, by=BY, now=now)
            webhook.refresh_from_db()
    elif webhook.url != url:
        webhook = webhooks.change(webhook, by=BY, now=now, url=url)
    return webhook
