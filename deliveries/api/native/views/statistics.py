"""`/stats`."""

from rest_framework.request import Request
from rest_framework.response import Response

from deliveries import clock
from deliveries.api.native.serializers import statistics as shapes
from deliveries.api.native.views.base import NativeViewSet
from deliveries.models import Scope, TrafficMinute
from deliveries.services import statistics


class StatisticsViewSet(NativeViewSet[TrafficMinute]):
    """`/stats`."""

    scopes = {"retrieve": Scope.EVENTS_READ}
    parameters = {"retrieve": shapes.PARAMETERS}

    def retrieve(self, request: Request) -> Response:
        """Answer with what was attempted in a window that ends now, or with the bucket of `until`.

        :raises ValidationError: listing every bad parameter, and when the buckets do not fit the window.
        """
        bucket, asked = shapes.wanted(request.query_params, now=clock.now())
        report = statistics.report(account=self.account, **asked)
        return Response(shapes.shown(report, period=asked["period"], bucket=bucket))
