"""Webhooks, and how they are doing."""

from collections.abc import Iterable
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from django.contrib import admin, messages
from django.contrib.admin.actions import delete_selected
from django.contrib.admin.utils import unquote
from django.contrib.admin.views.main import SEARCH_VAR
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

from deliveries import clock
from deliveries.admin import (
    columns,
    exchanges,
    meanwhile,
    recovery_builder,
    signs,
    strips,
    tags,
    webhook_acts,
)
from deliveries.admin.attempts import LARGE
from deliveries.admin.history import History
from deliveries.admin.pages.showing import page_of
from deliveries.admin.pauses import Pausable
from deliveries.admin.tables import ChosenFilter, Found, StateFilter, YesNoFilter
from deliveries.admin.webhook_form import WebhookForm
from deliveries.models import (
    Attempt,
    AuditEntry,
    Delivery,
    Pause,
    Webhook,
    WebhookHealth,
    WebhookRevision,
)
from deliveries.printing import printable
from deliveries.secrets import Undecryptable
from deliveries.services import glancing, holding, reviewing, webhooks

DISABLED_BY_OPERATOR = "Disabled by an operator."
# So many attempts, and so many changes, stand on the page of a webhook.
LISTED, CHANGES = 20, 10
# Before some are deleted, so many deliveries that wait for them are counted.
COUNTED = 10_000

# What a new one is made of, and what is shown of an old one.
_CHOSEN = ("account", "agent", "name", "url", "http_method", "events", "enabled")
_LIMITS = ("timeout", "max_retries", "max_in_flight")
_NEW_SECRETS = ("new_secret", "authorization_scheme", "new_credential", "new_headers")
_CHANGED_SECRETS = (
    ("new_secret", "clear_secret"),
    "authorization_scheme",
    ("new_credential", "clear_credential"),
    ("new_headers", "clear_headers"),
)
_SHOWN_SECRETS = ("has_secret", "has_credential", "header_names")
_HEALTH = ("consecutive_failures", "failing_since", "last_success_at", "last_failure_at")
_CIRCUIT = ("circuit", "circuit_since", "next_step_at", "openings", "unavailable_in_a_row", "let_go")
_STATE = ("id", "disabled_reason", "created_at", "updated_at", "deleted_at")


class DeletedFilter(ChosenFilter):
    """Webhooks that are not deleted, unless others are asked for, or one is searched for."""

    title = "deletion"
    parameter_name = "deleted"
    usual = "no"

    def __init__(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        super().__init__(request, *args, **kwargs)
        if request.GET.get(SEARCH_VAR):
            self.usual = self.ALL

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the choices."""
        return [("no", "Not deleted"), ("yes", "Deleted"), (self.ALL, "All")]

    def keep(self, queryset: QuerySet[Webhook], chosen: str) -> QuerySet[Webhook]:
        """Keep those."""
        return queryset.filter(deleted_at__isnull=chosen == "no")


class TroubleFilter(YesNoFilter[Webhook]):
    """Webhooks whose last attempts all failed, or others."""

    title = "last attempts all failed"
    parameter_name = "trouble"

    def keep(self, queryset: QuerySet[Webhook]) -> QuerySet[Webhook]:
        """Keep those."""
        return queryset.filter(pk__in=glancing.in_trouble(clock.now()).values("pk"))


class OutOfOrderFilter(YesNoFilter[Webhook]):
    """Webhooks whose circuit is not closed, or others."""

    title = "receiver out of order"
    parameter_name = "out_of_order"

    def keep(self, queryset: QuerySet[Webhook]) -> QuerySet[Webhook]:
        """Keep those."""
        return queryset.filter(pk__in=WebhookHealth.objects.out_of_order().values("pk"))


class Reviewed(Found):
    """The webhooks of a page, each with how it does."""

    def get_results(self, request: HttpRequest) -> None:
        """Read the page."""
        super().get_results(request)
        self.result_list: Any = list(self.result_list)
        found = reviewing.review(self.result_list, now=clock.now())
        for webhook in self.result_list:
            webhook.review = found[webhook.pk]


@admin.register(Webhook)
class WebhookAdmin(Pausable[Webhook]):
    """Where events go. Saving and deleting are the service's; a deleted webhook can only be looked at."""

    form = WebhookForm
    list_display = (
        "named",
        "state",
        "day",
        "due",
        "last_success",
        "last_error",
        columns.cut("account.name", "account"),
    )
    list_filter = (
        TroubleFilter,
        OutOfOrderFilter,
        DeletedFilter,
        "enabled",
        ("health__circuit", StateFilter),
    )
    show_facets = admin.ShowFacets.NEVER
    actions = ("delete_selected",)
    empty = "Make one here, or by the logs API: POST /api/v1/agents/{agent}/webhooks."
    list_select_related = ("account", "health")
    search_fields = ("id", "name")
    linked_by = ("account__id",)
    searched_in_parts = ("name",)
    ordering = ("-pk",)
    show_full_result_count = False
    autocomplete_fields = ("account", "agent")

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[Reviewed]:
        """Name the class of the list."""
        return Reviewed

    def get_urls(self) -> list[URLPattern]:
        """Add the acts of a webhook's page."""
        return [*webhook_acts.paths(), *super().get_urls()]

    def get_fieldsets(self, request: HttpRequest, obj: Webhook | None = None) -> Any:
        """Ask for what a new webhook is made of; show what there is of an old one, and what may change."""
        secrets: tuple[str | tuple[str, ...], ...]
        may_change = obj is not None and self.has_change_permission(request, obj)
        if obj is None:
            secrets = _NEW_SECRETS
        elif may_change:
            secrets = (*_SHOWN_SECRETS, *_CHANGED_SECRETS)
        else:
            secrets = (*_SHOWN_SECRETS, "authorization_scheme")
        fieldsets = [
            (None, {"fields": (*_CHOSEN, "why") if may_change else _CHOSEN}),
            ("Limits", {"fields": _LIMITS}),
            ("Signing and authorization", {"fields": secrets}),
        ]
        if obj is not None:
            fieldsets += [("Health", {"fields": (*_HEALTH, *_CIRCUIT)}), ("State", {"fields": _STATE})]
        return meanwhile.carrying(fieldsets) if may_change else fieldsets

    def get_readonly_fields(self, request: HttpRequest, obj: Webhook | None = None) -> tuple[str, ...]:
        """Fix the owner of a webhook once it is there."""
        return () if obj is None else ("account", "agent", *_SHOWN_SECRETS, *_HEALTH, *_CIRCUIT, *_STATE)

    def page_context(self, request: HttpRequest, row: Webhook) -> dict[str, Any]:
        """Tell the page what keeps back the webhook, or a type it wants."""
        touching = Pause.objects.in_force(clock.now()).touching(row)
        pauses = [each for each in touching if not each.event_type or row.wants(each.event_type)]
        review = reviewing.review([row], now=clock.now())[row.pk]
        attempts = Attempt.objects.filter(webhook=row).defer(*LARGE).order_by("-created_at", "-pk")[:LISTED]
        audit = AuditEntry.objects.filter(account=row.account_id, subject_id=str(row.pk))
        changes = audit.exclude(action=AuditEntry.Action.WEBHOOK_TESTED).order_by("-created_at", "-pk")
        return {
            **super().page_context(request, row),
            **webhook_acts.forms_of(row),
            "pauses": pauses,
            "review": review,
            "most": reviewing.MOST,
            "badge": strips.badge(review),
            "strip": strips.strip(review.strip, says=strips.in_words(review)),
            "strip_says": strips.in_words(review),
            "p95_ms": review.hour.percentile_ms(0.95),
            "schedule": strips.schedule(row),
            "attempts": [(attempt, exchanges.outcome(attempt)) for attempt in attempts],
            "changes": changes[:CHANGES],
            "may_act": self.has_change_permission(request, row),
            "send_all": recovery_builder.link(webhook_id=row.pk),
        }

    def has_change_permission(self, request: HttpRequest, obj: Webhook | None = None) -> bool:
        """Leave the deleted ones as they are."""
        return super().has_change_permission(request, obj) and (obj is None or obj.deleted_at is None)

    def has_delete_permission(self, request: HttpRequest, obj: Webhook | None = None) -> bool:
        """Delete nothing twice."""
        return super().has_delete_permission(request, obj) and (obj is None or obj.deleted_at is None)

    def save_model(self, request: HttpRequest, obj: Webhook, form: WebhookForm, change: bool) -> None:
        """Have the service make or change the webhook."""
        now, wanted = clock.now(), form.wanted()
        if not change:
            made = webhooks.create(
                account=obj.account, agent=obj.agent, by=str(request.user), now=now, **wanted
            )
            obj.pk = made.pk
            obj.refresh_from_db()
            return
        # The form holds the row: nobody has deleted it or will before all of this is saved.
        if wanted.get("enabled") is False:
            del wanted["enabled"]
            reason = form.cleaned_data["why"] or DISABLED_BY_OPERATOR
            webhooks.disable(obj.pk, reason=reason, by=str(request.user), now=now)
        if wanted:
            webhooks.change(obj, by=str(request.user), now=now, **wanted)

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Show or save a webhook; of a deleted one there is nothing to save."""
        gone = self._gone(request, object_id) if request.method == "POST" else None
        return gone or super().changeform_view(request, object_id, *args, **kwargs)

    def delete_view(self, request: HttpRequest, object_id: str, *args: Any, **kwargs: Any) -> HttpResponse:
        """Ask, and delete one; a deleted one is deleted."""
        return self._gone(request, object_id) or super().delete_view(request, object_id, *args, **kwargs)

    def _gone(self, request: HttpRequest, object_id: str | None) -> HttpResponse | None:
        """Return the answer to whoever may change webhooks, and asks that of a deleted one."""
        row = self.get_object(request, unquote(object_id)) if object_id else None
        if row is None or row.deleted_at is None or not self.has_change_permission(request):
            return None
        messages.error(request, meanwhile.deleted(row))
        return redirect(page_of(row))

    def delete_model(self, request: HttpRequest, obj: Webhook) -> None:
        """Have the service delete one, unless that has been done."""
        with suppress(webhooks.WebhookChanged):
            webhooks.delete(obj, by=str(request.user), now=clock.now())

    @admin.action(description="Delete selected %(verbose_name_plural)s", permissions=["delete"])
    def delete_selected(self, request: HttpRequest, queryset: QuerySet[Webhook]) -> HttpResponse | None:
        """Ask for those only that there are; what is confirmed meanwhile says itself who was first."""
        asked = queryset if request.POST.get("post") else queryset.filter(deleted_at=None)
        return delete_selected(self, request, asked)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Webhook]) -> None:
        """Have the service delete each."""
        for webhook in queryset:
            self.delete_model(request, webhook)

    def get_deleted_objects(
        self, objs: Iterable[Webhook], request: HttpRequest
    ) -> tuple[list[Any], dict[str, int], set[str], list[Any]]:
        """Say what deleting means here: no row goes, and what waits is given up."""
        chosen = list(objs)
        waiting = holding.count(Delivery.objects.filter(webhook__in=chosen), most=COUNTED)
        return [_cancelled(waiting, webhooks=len(chosen))], {}, set(), []

    @admin.display
    def state(self, webhook: Any) -> SafeString:
        """How it is, and why."""
        review = webhook.review
        if not review.brief:
            return strips.badge(review)
        brief, why = printable(review.brief), printable(review.why)
        shown = columns.short(brief)
        if brief != why:
            shown = format_html('<span title="{}">{}</span>', why, shown)
        return format_html("{}<br>{}", strips.badge(review), shown)

    @admin.display(description="24 hours")
    def day(self, webhook: Any) -> SafeString:
        """What came of its attempts, by the quarter of an hour; and how long those of the last hour took."""
        review, took = webhook.review, webhook.review.hour.percentile_ms(0.95)
        drawn = strips.strip(review.strip, says=strips.in_words(review))
        share = columns.NOTHING if review.success_ratio is None else tags.percent(review.success_ratio)
        return format_html("{}{}{}", drawn, share, "" if took is None else f", p95 {took:,} ms")

    @admin.display(description="due or held")
    def due(self, webhook: Any) -> SafeString:
        """How much waits to be sent or is held back, and since when the oldest of it has been due."""
        review = webhook.review
        lines = []
        for count, what, oldest_at in (
            (review.due, "due", review.oldest_due_at),
            (review.held, "held", review.oldest_held_at),
        ):
            if count:
                oldest = f", oldest {signs.relative(oldest_at)}" if oldest_at else ""
                lines.append((f"{signs.counted(count, most=reviewing.MOST)} {what}{oldest}",))
        return format_html_join(mark_safe("<br>"), "{}", lines) or format_html("{}", columns.NOTHING)

    @admin.display(description="name", ordering="name")
    def named(self, webhook: Webhook) -> SafeString:
        """What it is called, and where it goes."""
        host = columns.short(urlsplit(webhook.url).netloc)
        return format_html('<bdi>{}</bdi>\n<span class="host">{}</span>', columns.short(webhook.name), host)

    @admin.display(description="last success")
    def last_success(self, webhook: Webhook) -> str:
        """When something arrived last."""
        return signs.moment(webhook.health.last_success_at)

    @admin.display(description="last error")
    def last_error(self, webhook: Any) -> str:
        """Why an attempt failed last."""
        return columns.short(webhook.review.last_error)

    @admin.display(description="secret set", boolean=True)
    def has_secret(self, webhook: Webhook) -> bool:
        """Whether requests are signed."""
        return webhook.secret is not None

    @admin.display(description="credential set", boolean=True)
    def has_credential(self, webhook: Webhook) -> bool:
        """Whether there is a credential."""
        return webhook.authorization_credential is not None

    @admin.display(description="custom headers set")
    def header_names(self, webhook: Webhook) -> str:
        """Name the custom headers, without their values."""
        try:
            return ", ".join(webhook.reveal_headers()) or "-"
        except Undecryptable:
            return "None of ENCRYPTION_KEYS opens them."

    @admin.display(description="failures in a row")
    def consecutive_failures(self, webhook: Webhook) -> int:
        """How long the row of failures is by now."""
        return webhook.health.consecutive_failures

    @admin.display
    def failing_since(self, webhook: Webhook) -> str:
        """When the row of failures began."""
        return columns.moment(webhook.health.failing_since)

    @admin.display
    def last_success_at(self, webhook: Webhook) -> str:
        """When something arrived last."""
        return columns.moment(webhook.health.last_success_at)

    @admin.display
    def last_failure_at(self, webhook: Webhook) -> str:
        """When something failed last."""
        return columns.moment(webhook.health.last_failure_at)

    @admin.display(ordering="health__circuit")
    def circuit(self, webhook: Webhook) -> str:
        """Whether anything goes: not while it is open, one at a time while it is probed."""
        return signs.word(webhook.health.circuit)

    @admin.display
    def circuit_since(self, webhook: Webhook) -> str:
        """Since when the circuit is what it is."""
        return columns.moment(webhook.health.circuit_since)

    @admin.display(description="next look at the circuit")
    def next_step_at(self, webhook: Webhook) -> str:
        """When the receiver is tried next, or more is let go."""
        return columns.moment(webhook.health.next_step_at)

    @admin.display(description="openings in a row")
    def openings(self, webhook: Webhook) -> int:
        """How often the circuit opened since it was last closed."""
        return webhook.health.openings

    @admin.display(description="unavailable in a row")
    def unavailable_in_a_row(self, webhook: Webhook) -> int:
        """How many attempts the receiver could not take since its last answer; ten open the circuit."""
        return webhook.health.unavailable_in_a_row

    @admin.display(description="let go since it recovers")
    def let_go(self, webhook: Webhook) -> int:
        """How much of what was held has been let go."""
        return webhook.health.let_go


def _cancelled(waiting: int, *, webhooks: int) -> str:
    """Say what deleting webhooks does to what waits for them."""
    whom = "it" if webhooks == 1 else "them"
    if not waiting:
        return f"Nothing waits for {whom}."
    if waiting == 1:
        return f"1 delivery waits for {whom}. It is cancelled, and never sent."
    number = f"{waiting:,} deliveries{' or more' if waiting == COUNTED else ''}"
    return f"{number} wait for {whom}. They are cancelled, and never sent."


@admin.register(WebhookHealth)
class WebhookHealthAdmin(History[WebhookHealth]):
    """How webhooks are doing."""

    list_display = (columns.cut("webhook.name", "webhook"), "circuit", *_HEALTH)
    list_filter = (("circuit", StateFilter),)
    list_select_related = ("webhook",)
    search_fields = ("webhook",)
    fields = readonly_fields = ("webhook", *_HEALTH, *_CIRCUIT, "looked_up_to", "attempts_kept")


@admin.register(WebhookRevision)
class WebhookRevisionAdmin(History[WebhookRevision]):
    """What webhooks were, and from when on."""

    list_display = ("id", "valid_from", columns.cut("webhook.name", "webhook"), "enabled")
    list_select_related = ("webhook",)
    search_fields = ("id", "webhook")
    fields = readonly_fields = ("id", "webhook", "valid_from", "enabled", "events")
