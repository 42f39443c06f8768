"""`/whoami`."""

from rest_framework.request import Request
from rest_framework.response import Response

from deliveries.api.native.serializers.whoami import WhoamiSerializer
from deliveries.api.native.views.base import NativeViewSet
from deliveries.models import ApiKey


class WhoamiViewSet(NativeViewSet[ApiKey]):
    """`/whoami`."""

    scopes = {"retrieve": None}
    serializer_class = WhoamiSerializer

    def retrieve(self, request: Request) -> Response:
        """Answer with the key that asks, whatever its scopes, and the account it belongs to."""
        return Response(self.get_serializer(request.auth).data)
