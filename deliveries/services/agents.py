"""Agents: made by programs, with a note of each."""

from datetime import datetime

from django.db import transaction

from deliveries.models import Account, Agent, AuditEntry
from deliveries.services import auditing


def create(*, account: Account, name: str, by: str, now: datetime) -> Agent:
    """Make an agent."""
    with transaction.atomic():
        agent = Agent.objects.create(account=account, name=name, created_at=now)
        auditing.note(AuditEntry.Action.AGENT_CREATED, by=by, now=now, account=account, subject=agent.pk)
    return agent
