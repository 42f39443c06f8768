"""`/deliveries` and the attempts below them."""

from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from deliveries import clock
from deliveries.api.native import errors
from deliveries.api.native.filters import DeliveryFilter
from deliveries.api.native.pagination import KeysetPagination
from deliveries.api.native.serializers.attempts import AttemptSerializer, AttemptSummarySerializer
from deliveries.api.native.serializers.deliveries import DeliverySerializer
from deliveries.api.native.views.base import BASE_PATH, PAGE, NativeViewSet
from deliveries.models import Attempt, Delivery, Scope
from deliveries.models.delivery import DeliveryQuerySet
from deliveries.services import redelivery


class DeliveryViewSet(NativeViewSet[Delivery]):
    """`/deliveries`."""

    scopes = {
        "list": Scope.EVENTS_READ,
        "retrieve": Scope.EVENTS_READ,
        "retry": Scope.RECOVERIES_MANAGE,
    }
    parameters = {"list": (*PAGE, *DeliveryFilter.base_filters)}
    filterset_class = DeliveryFilter
    pagination_class = KeysetPagination
    serializer_class = DeliverySerializer

    def get_queryset(self) -> DeliveryQuerySet:
        """Return the account's deliveries."""
        deliveries = Delivery.objects.filter(account=self.account)
        return deliveries.select_related("event", "webhook").defer("event__body")

    def list(self, request: Request) -> Response:
        """Answer with a page of deliveries, newest first.

        :raises ValidationError: listing every bad parameter.
        """
        return self.page_of(self.get_queryset())

    def retrieve(self, request: Request, delivery_id: str) -> Response:
        """Answer with one delivery."""
        return Response(self.get_serializer(self.one(self.get_queryset(), delivery_id)).data)

    def retry(self, request: Request, delivery_id: str) -> Response:
        """Queue one attempt and answer with the delivery as it then is. The request's body is not read.

        :raises NotRedeliverable: unless the delivery has failed, and its webhook exists and is enabled.
        """
        delivery = self.one(self.get_queryset(), delivery_id)
        try:
            queued = redelivery.redeliver(delivery, by=self.caller, now=clock.now())
        except redelivery.NotRedeliverable as error:
            raise errors.NotRedeliverable(str(error)) from error
        return Response(
            self.get_serializer(queued).data,
            status=status.HTTP_202_ACCEPTED,
            headers={"Location": f"{BASE_PATH}/deliveries/{queued.pk}"},
        )


class AttemptViewSet(NativeViewSet[Attempt]):
    """`/deliveries/{delivery_id}/attempts`."""

    scopes = {"list": Scope.EVENTS_READ, "retrieve": Scope.EVENTS_READ}
    parameters = {"list": PAGE}
    pagination_class = KeysetPagination
    serializer_class = AttemptSummarySerializer

    def delivery(self) -> Delivery:
        """Return the delivery the path names.

        :raises NotFound: when the account has no such delivery.
        """
        return self.one(Delivery.objects.filter(account=self.account), self.kwargs["delivery_id"])

    def list(self, request: Request, delivery_id: str) -> Response:
        """Answer with a page of attempts, the last one first.

        :raises ValidationError: listing every bad parameter.
        """
        attempts = Attempt.objects.of(self.delivery())
        return self.page_of(attempts.defer("request_headers", "response_headers", "response_body"))

    def retrieve(self, request: Request, delivery_id: str, attempt_id: str) -> Response:
        """Answer with one attempt and all there is to know about it; its id says where it is kept."""
        attempt = self.one(Attempt.objects.filter(delivery=self.delivery()), attempt_id)
        return Response(AttemptSerializer(attempt).data)
