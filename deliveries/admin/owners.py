"""Filters of a list by whose rows they are: a webhook's or an account's, by an id or an exact name.

There are thousands of them, so none is offered in a list; and no more, so that a name needs no index.
"""

from collections.abc import Callable
from typing import Any, TypeVar
from uuid import UUID

from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest

from deliveries.admin.typed import Meaning, NotUnderstood, Typed, TypedForADay, Way
from deliveries.models import Account, Webhook

# So many are offered where a name is that of several.
OFFERED = 10
# Of an account with more webhooks, attempts are looked for by one of them: each is looked up by itself.
MOST = 1000

Owner = TypeVar("Owner", bound=Model)


class WebhookFilter(Typed):
    """Rows of one webhook; it may be deleted."""

    title = "webhook"
    parameter_name = "webhook__id__exact"
    label = "Webhook's id, exact name or URL"
    most = 2048
    of = "of the webhook"

    def understand(self, request: HttpRequest, model_admin: Any) -> Meaning:
        """Return the webhook's rows.

        :raises NotUnderstood: when there is none, or when there are several.
        """
        webhook = _one(
            Webhook.objects.select_related("account"),
            self,
            called=Q(name=self.typed) | Q(url=self.typed),
            by="id, name or URL",
            described=_with_account,
        )
        return Meaning(name=webhook.name, lookups={self.parameter_name: webhook.pk}, exactly=str(webhook.pk))


class FailedWebhookFilter(WebhookFilter):
    """The same where rows keep the id alone."""

    parameter_name = "webhook_id__exact"


class AccountFilter(Typed):
    """Rows of one account."""

    title = "account"
    parameter_name = "account__id__exact"
    label = "Account's id or exact name"
    most = 255
    of = "of the account"

    def understand(self, request: HttpRequest, model_admin: Any) -> Meaning:
        """Return the account's rows.

        :raises NotUnderstood: when there is none, or when there are several.
        """
        account = self.account()
        return Meaning(name=account.name, lookups={self.parameter_name: account.pk}, exactly=str(account.pk))

    def account(self) -> Account:
        """Return the account that was typed.

        :raises NotUnderstood: when there is none, or when there are several.
        """
        called = Q(name=self.typed)
        return _one(Account.objects.all(), self, called=called, by="id or name", described=_made_at)


class AttemptedAccountFilter(TypedForADay, AccountFilter):
    """The same where rows know their webhook only."""

    parameter_name = "account"
    sought = "An account's attempts"

    def understand(self, request: HttpRequest, model_admin: Any) -> Meaning:
        """Return the rows of the account's webhooks.

        :raises NotUnderstood: when there is no account, when there are several, or too many webhooks.
        """
        account = self.account()
        # Their ids, and no join: a planner knows of each how many attempts it has.
        webhooks = list(account.webhooks.values_list("pk", flat=True)[: MOST + 1])
        if len(webhooks) > MOST:
            raise NotUnderstood(
                f"{account.name} has more than {MOST:,} webhook{'s' if MOST > 1 else ''}. "
                "Choose one of them instead."
            )
        return Meaning(name=account.name, lookups={"webhook__pk__among": webhooks})


def _one(
    rows: QuerySet[Owner], box: Typed, *, called: Q, by: str, described: Callable[[Owner], str]
) -> Owner:
    """Return the row with the id that was typed, or the only one that is called so.

    :raises NotUnderstood: when there is none, or when there are several, which it offers.
    """
    pk = _id(box.typed)
    found = list(rows.filter(pk=pk)) if pk else list(rows.filter(called).order_by("-pk")[: OFFERED + 1])
    if len(found) == 1:
        return found[0]
    if not found:
        raise NotUnderstood(f"No {box.title} has this {by}.")
    ways: list[Way] = [
        (described(row), box.instead(**{box.parameter_name: str(row.pk)})) for row in found[:OFFERED]
    ]
    number = f"More than {OFFERED}" if len(found) > OFFERED else str(len(found))
    raise NotUnderstood(f"{number} {box.title}s are called that. Choose one, or type its id.", ways)


def _id(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _with_account(webhook: Webhook) -> str:
    deleted = ", deleted" if webhook.deleted_at else ""
    return f"{webhook.name} of {webhook.account.name}{deleted}, {webhook.pk}"


def _made_at(account: Account) -> str:
    return f"{account.name}, made {account.created_at:%Y-%m-%d}, {account.pk}"
