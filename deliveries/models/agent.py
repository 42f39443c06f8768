"""Agents: the part of an account that the logs API addresses webhooks by."""

from django.db import models

from deliveries.identifiers import new_id
from deliveries.models.account import Account
from deliveries.printing import printable


class Agent(models.Model):
    """A named part of an account; its webhooks get its events."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="agents", db_index=False)
    name = models.CharField(max_length=255)
    created_at = models.DateTimeField(editable=False)

    class Meta:
        indexes = [models.Index(fields=["account", "created_at", "id"], name="agents_of_account")]

    def __str__(self) -> str:
        return f"{printable(self.name)} ({self.pk})"
