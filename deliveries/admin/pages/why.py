"""One box that takes any id or URL, or a webhook's name, and says in a sentence what became of it."""

from functools import partial

from django.db.models import Model
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from deliveries import clock
from deliveries.admin.pages.showing import page_of, seen_by, show
from deliveries.services import explaining
from deliveries.services.explaining import Answer

# An answer, and the page of what it is about.
Told = tuple[Answer, str]


@require_safe
@seen_by("deliveries.view_delivery")
def page(request: HttpRequest) -> HttpResponse:
    """Show the box and, where something was asked, the answer with the pages it is about."""
    asked = request.GET.get("q", "").strip()
    answer = explaining.explain(asked, now=clock.now(), may_see=partial(_may_see, request)) if asked else None
    return show(
        request,
        "why.html",
        title="Why did this not arrive?",
        asked=asked,
        answer=answer and _told(answer),
        parts=[_told(part) for part in answer.parts] if answer and len(answer.parts) > 1 else [],
        skipped=[_told(part) for part in answer.skipped] if answer else [],
    )


def _may_see(request: HttpRequest, kind: type[Model]) -> bool:
    return request.user.has_perm(f"{kind._meta.app_label}.view_{kind._meta.model_name}")


def _told(answer: Answer) -> Told:
    """Return an answer with the page of what it is about."""
    return answer, page_of(answer.about)
