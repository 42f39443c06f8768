"""One page about the installation itself: whether it is in order, who works, what it takes and is set to."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from django.conf import settings
from django.db import Error as DatabaseError
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from deliveries import clock
from deliveries.admin.pages.showing import seen_by, show
from deliveries.models.databases import is_away
from deliveries.services import diagnosing, forecasting, schema, sizing, staffing, versions
from deliveries.services.diagnosing import Finding, Verdict
from webhooks_project.redaction import redact

_T = TypeVar("_T")


@dataclass(frozen=True, kw_only=True)
class Part(Generic[_T]):
    """What a section shows, or why it shows nothing."""

    found: _T | None = None
    trouble: str = ""


@require_safe
@seen_by("deliveries.view_worker")
def page(request: HttpRequest) -> HttpResponse:
    """Show all sections; what one of them may not ask keeps no other from being shown."""
    now = clock.now()
    findings = diagnosing.diagnose(now=now, skew=clock.skew())
    sizes = _asked(sizing.sizes)
    return show(
        request,
        "system.html",
        title="System",
        findings=_worst_first(findings),
        verdict=diagnosing.worst(findings),
        staff=_asked(lambda: staffing.staff(now=now)),
        missing=_asked(schema.missing),
        versions=_asked(versions.versions),
        sizes=sizes,
        forecast=_asked(
            lambda: (
                forecasting.forecast(sizes=sizes.found, keeps=settings.WEBHOOKS_RETENTION, now=now)
                if sizes.found
                else None
            )
        ),
        changed=[variable for variable in settings.ENVIRONMENT.read if variable.changed],
        unread=settings.ENVIRONMENT.unread,
    )


def _asked(ask: Callable[[], _T]) -> Part[_T]:
    """Return what the database answers, or why it does not; that it is away is told of the whole page."""
    try:
        with transaction.atomic():
            return Part(found=ask())
    except DatabaseError as error:
        if is_away(error):
            raise
        return Part(trouble=redact(str(error).strip().partition("\n")[0]))


def _worst_first(findings: Sequence[Finding]) -> list[tuple[Verdict, str, str, str]]:
    """Return the findings as text without secrets: some have words of a library's in them."""
    order = list(Verdict)
    worst_first = sorted(findings, key=lambda finding: -order.index(finding.verdict))
    return [(each.verdict, each.about, redact(each.says), redact(each.todo)) for each in worst_first]
