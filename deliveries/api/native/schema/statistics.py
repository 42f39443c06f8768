"""Statistics, in the document of the native API."""

from deliveries.api import openapi
from deliveries.api.native.schema.common import HOOK, MOMENT, MOMENT_GIVEN, Resource, answer
from deliveries.api.native.serializers import statistics
from deliveries.api.native.views.statistics import StatisticsViewSet
from deliveries.api.openapi import Json, Operation
from deliveries.models import TrafficMinute

_EXAMPLE_FIGURES: Json = {
    "attempts": 4,
    "succeeded": 3,
    "failed": 1,
    "given_up": 0,
    "success_ratio": 0.75,
    "duration_ms": {"average": 142, "p50": 150, "p95": 238},
}
_EXAMPLE: Json = {
    "from": "2026-03-14T11:00:00.000000Z",
    "to": "2026-03-15T11:00:00.000000Z",
    "bucket": "1h",
    "totals": _EXAMPLE_FIGURES,
    "groups": [
        {
            "webhook": HOOK,
            "totals": _EXAMPLE_FIGURES,
            "buckets": [{"from": "2026-03-15T10:00:00.000000Z", **_EXAMPLE_FIGURES}],
        }
    ],
    "truncated": False,
}

_BOUNDS = ", ".join(f"{bound}" for bound in TrafficMinute.BOUNDS)
_MILLISECONDS = openapi.nullable(openapi.integer(minimum=0))
_FIGURES: dict[str, Json] = {
    "attempts": openapi.integer(minimum=0, description="Those that ended in this time."),
    "succeeded": openapi.integer(minimum=0),
    "failed": openapi.integer(minimum=0),
    "given_up": openapi.integer(minimum=0, description="Deliveries whose last attempt failed."),
    "success_ratio": {
        "type": ["number", "null"],
        "minimum": 0,
        "maximum": 1,
        "description": "Null without attempts.",
    },
    "duration_ms": openapi.obj(
        {"average": _MILLISECONDS, "p50": _MILLISECONDS, "p95": _MILLISECONDS},
        description="Null without attempts. The percentiles are estimates.",
    ),
}


STATISTICS = Resource(
    operations={
        (StatisticsViewSet, "retrieve"): Operation(
            id="getStatistics",
            tag="Statistics",
            summary="Count attempts",
            description="What was attempted in a window of time, cut into buckets, from counts by the "
            "minute. Buckets start at multiples of their length, in UTC; the last one is still filling. "
            "Percentiles are estimates, read off counts of the attempts that took up to "
            f"{_BOUNDS} milliseconds, and longer.",
            parameters=["window", "bucket", "group_by", "until", "by_webhook", "event"],
            answers={200: answer("The figures.", "Statistics", _EXAMPLE)},
            errors={422: "Invalid"},
        ),
    },
    schemas={
        "Figures": openapi.obj(_FIGURES),
        "Bucket": openapi.obj({"from": MOMENT, **_FIGURES}),
        "Group": openapi.obj(
            {
                "webhook": openapi.ref("WebhookName"),
                "event": openapi.text(),
                "totals": openapi.ref("Figures"),
                "buckets": openapi.array(
                    openapi.ref("Bucket"), description="Those in which anything happened."
                ),
            },
            required=["totals", "buckets"],
            description="With `webhook` or `event`, as was asked.",
        ),
        "Statistics": openapi.obj(
            {
                "from": MOMENT,
                "to": MOMENT,
                "bucket": openapi.text(enum=list(statistics.BUCKETS)),
                "totals": openapi.ref("Figures"),
                "buckets": openapi.array(
                    openapi.ref("Bucket"), description="All of them, where nothing is grouped."
                ),
                "groups": openapi.array(
                    openapi.ref("Group"), description="The busiest 100, where `group_by` is given."
                ),
                "truncated": {"type": "boolean", "description": "Whether there are more groups than these."},
            },
            required=["from", "to", "bucket", "totals"],
        ),
    },
    parameters={
        "window": openapi.query(
            "window",
            openapi.text(enum=list(statistics.WINDOWS), default=statistics.DEFAULT_WINDOW),
            "How far back.",
        ),
        "until": openapi.query("until", MOMENT_GIVEN, "The window ends with the bucket of this moment; now."),
        "bucket": openapi.query(
            "bucket",
            openapi.text(enum=list(statistics.BUCKETS)),
            "How finely the window is cut; as fine as is usual for it. At most 1,500, with groups 300.",
        ),
        "group_by": openapi.query(
            "group_by", openapi.text(enum=list(statistics.GROUPINGS)), "Figures for each of these."
        ),
    },
)
