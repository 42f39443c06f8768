"""One page about the installation itself: whether it is in order, who works, what it takes and is set to."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from django.conf import settings
from django.contrib.auth.models import AnonymousUser, User
from django.db import Error as DatabaseError
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.views.decorators.http import require_safe

from deliveries import clock
from deliveries.admin.pages.showing import seen_by, show
from deliveries.models.databases import is_away
from deliveries.services import diagnosing, forecasting, schema, sizing, staffing, versions
from deliveries.services.diagnosing import Finding, Place, Verdict
from webhooks_project.redaction import redact

_T = TypeVar("_T")


@dataclass(frozen=True, kw_only=True)
class Part(Generic[_T]):
    """What a section shows, or why it shows nothing."""

    found: _T | None = None
    trouble: str = ""


# What a list is of, what is chosen there, and the words of the link.
PLACES = {
    Place.WEBHOOKS: ("webhook", "", "See the webhooks"),
    Place.OUT_OF_ORDER: ("webhook", "?out_of_order=yes", "See those out of order"),
    Place.PAUSES: ("pause", "?in_force=yes", "See the pauses in force"),
    Place.INBOX: ("failuregroup", "", "See the inbox"),
    Place.WORKERS: ("worker", "", "See the workers"),
}


@dataclass(frozen=True, kw_only=True)
class Link:
    """Where a finding leads."""

    url: str
    words: str


@dataclass(frozen=True, kw_only=True)
class Told:
    """A finding as text without secrets: some have words of a library's in them."""

    verdict: Verdict
    about: str
    says: str
    todo: str
    links: Sequence[Link]


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
        findings=_worst_first(findings, request.user),
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


def _worst_first(findings: Sequence[Finding], reader: User | AnonymousUser) -> list[Told]:
    """Return the findings, with links to what this reader may see."""
    order = list(Verdict)
    return [
        Told(
            verdict=each.verdict,
            about=each.about,
            says=redact(each.says),
            todo=redact(each.todo),
            links=[_link(place) for place in each.places if _sees(reader, place)],
        )
        for each in sorted(findings, key=lambda finding: -order.index(finding.verdict))
    ]


def _link(place: Place) -> Link:
    model, chosen, words = PLACES[place]
    return Link(url=f"{reverse(f'admin:deliveries_{model}_changelist')}{chosen}", words=words)


def _sees(reader: User | AnonymousUser, place: Place) -> bool:
    model, _, _ = PLACES[place]
    return reader.has_perm(f"deliveries.view_{model}")
