"""Buttons that are pressed after the session has ended: nothing is done, and the way back says so.

Django leads whoever has logged in again to the path that was asked for. That of a button answers no GET.
"""

from collections.abc import Callable
from urllib.parse import urlencode

from django.contrib import admin, messages
from django.contrib.auth.views import redirect_to_login
from django.core import signing
from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.urls import NoReverseMatch, reverse
from django.views.decorators.http import require_safe

from deliveries.admin import recovery_builder

NOTHING_DONE = "Nothing was done: your session had ended. Press again."
_SALT = "deliveries.admin.ended"


class EndedSessionMiddleware:
    """Sends whoever pressed a button without a session to the login, and from there to the button's page."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Pass the request on, and change where a refusal leads."""
        response = self.get_response(request)
        leads_to = response.headers.get("Location")
        if request.method != "POST" or leads_to is None:
            return response
        login = reverse("admin:login")
        if request.path == login or not leads_to.startswith(f"{login}?"):
            return response
        # Signed, so that nobody can be led elsewhere by a link.
        asked = urlencode({"to": signing.dumps(_page(request), salt=_SALT)})
        return redirect_to_login(f"{reverse('console:again')}?{asked}", login)


def _again(request: HttpRequest) -> HttpResponse:
    """Say that nothing was done, on the page of the button."""
    try:
        page = signing.loads(request.GET.get("to", ""), salt=_SALT)
    except signing.BadSignature as error:
        raise BadRequest("This link is of no page of the console.") from error
    messages.warning(request, NOTHING_DONE)
    return redirect(page)


again = require_safe(admin.site.admin_view(_again))


def _page(request: HttpRequest) -> str:
    """Return the page that a form was on; of a row's button, the row's."""
    found = request.resolver_match
    if found is None:
        return reverse("admin:index")
    if found.view_name == "admin:deliveries_recovery_new":
        return recovery_builder.link_again(request)
    # As our own paths call it; Django's pages, which answer a GET as well, call it otherwise.
    if "pk" not in found.kwargs:
        return request.get_full_path()
    model = (found.url_name or "").removeprefix("deliveries_").partition("_")[0]
    try:
        return reverse(f"admin:deliveries_{model}_change", args=[found.kwargs["pk"]])
    except NoReverseMatch:
        return reverse("admin:index")
