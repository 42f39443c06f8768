"""The first page: whether all is well, and where to look where it is not."""

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from deliveries import clock
from deliveries.admin import charts
from deliveries.admin.pages.showing import show
from deliveries.services import glancing, measuring


def _page(request: HttpRequest) -> HttpResponse:
    """Show the overview; who may not see deliveries gets the list of what they may."""
    if not request.user.has_perm("deliveries.view_delivery"):
        return admin.site.index(request)
    glance = glancing.glance(now=clock.now())
    held = glance.measures.held.values()
    return show(
        request,
        "overview.html",
        title="Overview",
        glance=glance,
        measures=glance.measures,
        most=measuring.MOST,
        held=sum(held),
        held_further=max(held) >= measuring.MOST,
        success=glance.hour.success_ratio,
        p95_ms=glance.hour.percentile_ms(0.95),
        charts=charts.charts(glance.minutes),
        told_for=glancing.TOLD_FOR,
        troubled=[(health, glancing.disabled_at(health)) for health in glance.troubled],
    )


page = require_safe(admin.site.admin_view(_page))
