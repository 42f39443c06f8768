"""API keys: made, shown once, and revoked."""

from datetime import datetime

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.safestring import SafeString

from deliveries import clock
from deliveries.admin import columns, signs
from deliveries.admin.meanwhile import Meanwhile, MeanwhileForm
from deliveries.models import ApiKey, Scope
from deliveries.services import keys


class ApiKeyForm(MeanwhileForm[ApiKey]):
    """A new key, or the name and the expiry of an old one."""

    scopes = forms.MultipleChoiceField(choices=Scope.choices, widget=forms.CheckboxSelectMultiple)

    def clean_expires_at(self) -> datetime | None:
        """Let nobody set an end that is over. A key that has expired keeps its own."""
        end: datetime | None = self.cleaned_data["expires_at"]
        if end and "expires_at" in self.changed_data and end <= clock.now():
            raise ValidationError("Choose a moment in the future. To end a key now, revoke it.")
        return end


@admin.register(ApiKey)
class ApiKeyAdmin(Meanwhile[ApiKey]):
    """Keys. None is deleted: a revoked one stays, and says when it was last used."""

    form = ApiKeyForm
    list_display = (
        columns.cut("name", "name"),
        "state",
        "prefix",
        "what_for",
        columns.when("last_used_at", "last used"),
        columns.when("expires_at", "expires"),
        columns.cut("account.name", "account"),
        columns.when("created_at", "made"),
    )
    linked_by = ("account__id",)
    empty = "A program needs one to use the APIs. It is shown once, when it is made."
    list_select_related = ("account",)
    search_fields = ("id", "name", "prefix")
    searched_in_parts = ("name",)
    ordering = ("-pk",)
    show_full_result_count = False
    autocomplete_fields = ("account",)
    actions = ("revoke",)

    @admin.display
    def state(self, key: ApiKey) -> SafeString:
        """Whether it opens anything."""
        if key.revoked_at:
            return signs.badge(signs.Sign.OFF, "Revoked")
        if key.expires_at and key.expires_at <= clock.now():
            return signs.badge(signs.Sign.WARNING, "Expired")
        return signs.badge(signs.Sign.WELL, "Active")

    @admin.display(description="scopes")
    def what_for(self, key: ApiKey) -> str:
        """What it is for."""
        return columns.short(", ".join(key.scopes))

    def get_fields(self, request: HttpRequest, obj: ApiKey | None = None) -> tuple[str, ...]:
        """Ask for what a key is made of, or show it."""
        chosen = ("account", "name", "scopes", "expires_at")
        return chosen if obj is None else ("prefix", *chosen, "created_at", "revoked_at", "last_used_at")

    def get_readonly_fields(self, request: HttpRequest, obj: ApiKey | None = None) -> tuple[str, ...]:
        """Fix all but the name and the expiry once the key is made."""
        fields = self.get_fields(request, obj)
        return () if obj is None else tuple(field for field in fields if field not in ("name", "expires_at"))

    def save_model(self, request: HttpRequest, obj: ApiKey, form: forms.Form, change: bool) -> None:
        """Make a key and show its text, which nobody can do again; or save the name and the expiry."""
        if change:
            keys.change(obj, fields=form.changed_data, by=str(request.user), now=clock.now())
            return
        key, text = keys.issue(
            account=obj.account,
            name=obj.name,
            scopes=[Scope(scope) for scope in form.cleaned_data["scopes"]],
            by=str(request.user),
            now=clock.now(),
            expires_at=obj.expires_at,
        )
        obj.pk = key.pk
        obj.refresh_from_db()
        messages.success(request, f"The key, which is not shown again: {text}")

    def response_add(
        self, request: HttpRequest, obj: ApiKey, post_url_continue: str | None = None
    ) -> HttpResponse:
        """Show the new key's text at once: a message for the next page would travel in a cookie, readable."""
        context = {**self.admin_site.each_context(request), "title": "API key made", "key": obj}
        return TemplateResponse(request, "admin/deliveries/apikey/made.html", context)

    @admin.action(description="Revoke", permissions=["change"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        """Make keys useless at once. One that was revoked before keeps its moment."""
        now = clock.now()
        revoked = sum(
            keys.revoke(key, by=str(request.user), now=now) for key in queryset.filter(revoked_at=None)
        )
        messages.success(request, f"Revoked {revoked} {'key' if revoked == 1 else 'keys'}.")

    def has_delete_permission(self, request: HttpRequest, obj: ApiKey | None = None) -> bool:
        """Nobody deletes; a key is revoked."""
        return False
