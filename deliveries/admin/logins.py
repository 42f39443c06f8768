"""Logging in: who did, and who has tried too often and has to wait. The counting is django-axes' work.

It counts for a name and an address together: a stranger who knows an operator's name locks out themselves.
Whoever tries ever new names is stopped by a second, higher limit for their address, before a password is
checked: each check is as much work as guessing one is meant to be.
"""

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, ClassVar

import limits
from axes.models import AccessAttempt, AccessLog
from django.conf import settings
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.db.models import Max
from django.db.models.signals import pre_save
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.template.loader import render_to_string
from django.utils.crypto import salted_hmac

from deliveries import clock, counting
from deliveries.admin import columns
from deliveries.admin.audited import Audited
from deliveries.admin.history import History
from webhooks_project import clients

# What one address may send to the login page, right or wrong.
POSTS = limits.parse("30/minute")


class LoginLimitMiddleware:
    """Answers 429 where too many attempts to log in come from one address."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Pass the request on."""
        return self.get_response(request)

    def process_view(self, request: HttpRequest, *args: Any) -> HttpResponse | None:
        """Count what would have a password checked, and refuse what is too much."""
        page = request.resolver_match
        if request.method != "POST" or page is None or page.view_name != "admin:login":
            return None
        counter = counting.counter(settings.REDIS_URL)
        count = counter.take(POSTS, f"login:{clients.address(request)}")
        return None if count.allowed else _too_many(wait=count.wait, of_address=True)


def name(request: HttpRequest, credentials: Mapping[str, Any] | None) -> str:
    """Return the name somebody logs in with, or a digest of it where nobody here has it.

    People type passwords and paste keys where the name belongs, and this is stored and logged. It takes the
    SECRET_KEY, or whoever has a dump of the database could try out what was typed.
    """
    given = str((credentials or request.POST).get("username") or "")
    if get_user_model().objects.filter(username=given).exists():
        return given
    digest = salted_hmac("deliveries.admin.logins", given, algorithm="sha256").hexdigest()
    return f"nobody-{digest[:12]}"


def locked_out(request: HttpRequest, response: HttpResponse, credentials: Mapping[str, Any]) -> HttpResponse:
    """Say that there were too many attempts, and when the next one counts."""
    tries = AccessAttempt.objects.filter(username=name(request, credentials))
    last = tries.filter(ip_address=clients.address(request)).aggregate(at=Max("attempt_time"))["at"]
    now = clock.now()
    again_at = (last or now) + settings.AXES_COOLOFF_TIME
    wait = max(1, int((again_at - now).total_seconds()))
    return _too_many(wait=wait, of_address=False)


def _too_many(*, wait: int, of_address: bool) -> HttpResponse:
    # Rendered without the request: nobody is logged in.
    context = {
        "again_at": clock.now() + timedelta(seconds=wait),
        "of_address": of_address,
        "site_header": admin.site.site_header,
    }
    page = render_to_string("admin/deliveries/locked_out.html", context)
    return HttpResponse(page, status=429, headers={"Retry-After": str(wait)})


@receiver(pre_save, sender=AccessAttempt, dispatch_uid="deliveries.admin.logins")
@receiver(pre_save, sender=AccessLog, dispatch_uid="deliveries.admin.logins")
def _forget_what_was_sent(instance: AccessAttempt | AccessLog, **kwargs: Any) -> None:
    """Keep who tried from where and when; whatever else stood in the form or the URL may be a secret."""
    instance.http_accept = ""
    if isinstance(instance, AccessAttempt):
        instance.get_data = instance.post_data = ""


@admin.register(AccessLog)
class AccessLogAdmin(History[AccessLog]):
    """Who logged in, from where, and when they logged out."""

    list_display = ("attempt_time", columns.cut("username", "user"), "ip_address", "logout_time")
    search_fields = ("username", "ip_address")
    fields: ClassVar[Any] = ("attempt_time", "username", "ip_address", "user_agent", "logout_time")


@admin.register(AccessAttempt)
class AccessAttemptAdmin(Audited[AccessAttempt], History[AccessAttempt]):
    """Who failed to log in, from where and how often. Deleting a row lets its owner try again at once."""

    noun, known_by = "lockout", "username"
    told = ("ip_address",)
    list_display = (
        "attempt_time",
        columns.cut("username", "user"),
        "ip_address",
        "failures_since_start",
        "locked_out",
    )
    search_fields = ("username", "ip_address")
    fields: ClassVar[Any] = ("attempt_time", "username", "ip_address", "user_agent", "failures_since_start")

    @admin.display(description="locked out", boolean=True)
    def locked_out(self, attempt: AccessAttempt) -> bool:
        """Whether this row alone keeps its owner waiting."""
        over = attempt.attempt_time + settings.AXES_COOLOFF_TIME <= clock.now()
        return not over and attempt.failures_since_start >= settings.AXES_FAILURE_LIMIT

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        """Let those who may delete do so."""
        return request.user.has_perm("axes.delete_accessattempt")
