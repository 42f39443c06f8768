"""What the pages have in common: who may see them, and the frame around them."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Model
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse

View = Callable[..., HttpResponse]


def seen_by(permission: str) -> Callable[[View], View]:
    """Return a decorator of views for people who are logged in to the console and have this permission."""

    def decorate(view: View) -> View:
        @wraps(view)
        def checked(request: HttpRequest, **arguments: Any) -> HttpResponse:
            if not request.user.has_perm(permission):
                raise PermissionDenied
            return view(request, **arguments)

        return admin.site.admin_view(checked)

    return decorate


def show(request: HttpRequest, template: str, *, title: str, **context: Any) -> TemplateResponse:
    """Return a page in the frame of the console."""
    return TemplateResponse(
        request, f"console/{template}", {**admin.site.each_context(request), "title": title, **context}
    )


def page_of(row: Model) -> str:
    """Return the path of a row's own page."""
    return reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_change", args=[row.pk])
