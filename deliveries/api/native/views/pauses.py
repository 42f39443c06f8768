"""`/pauses`: what is kept back for a while."""

from django.db.models import QuerySet
from rest_framework import status
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from deliveries import clock
from deliveries.api.native import errors
from deliveries.api.native.filters import PauseFilter
from deliveries.api.native.pagination import KeysetPagination
from deliveries.api.native.serializers.pauses import PauseDraftSerializer, PauseSerializer
from deliveries.api.native.views.base import BASE_PATH, PAGE, NativeViewSet
from deliveries.models import Pause, Scope
from deliveries.services import pausing


class PauseViewSet(NativeViewSet[Pause]):
    """`/pauses`."""

    scopes = {
        "create": Scope.PAUSES_MANAGE,
        "list": Scope.PAUSES_READ,
        "retrieve": Scope.PAUSES_READ,
        "end": Scope.PAUSES_MANAGE,
    }
    parameters = {"list": (*PAGE, *PauseFilter.base_filters)}
    filterset_class = PauseFilter
    pagination_class = KeysetPagination
    serializer_class = PauseSerializer

    def get_queryset(self) -> QuerySet[Pause]:
        """Return the account's pauses."""
        return Pause.objects.filter(account=self.account)

    def create(self, request: Request) -> Response:
        """Keep something back.

        :raises ValidationError: when a field of the body breaks a rule.
        """
        now = clock.now()
        draft = PauseDraftSerializer(data=request.data, context={"now": now})
        draft.is_valid(raise_exception=True)
        try:
            pause = pausing.pause(account=self.account, by=self.caller, now=now, **draft.validated_data)
        except pausing.InvalidPause as error:
            raise ValidationError(draft.by_its_fields(error.problems)) from error
        return Response(
            self.get_serializer(pause).data,
            status=status.HTTP_201_CREATED,
            headers={"Location": f"{BASE_PATH}/pauses/{pause.pk}"},
        )

    def list(self, request: Request) -> Response:
        """Answer with a page of pauses, newest first.

        :raises ValidationError: listing every bad parameter.
        """
        return self.page_of(self.get_queryset())

    def retrieve(self, request: Request, pause_id: str) -> Response:
        """Answer with one pause."""
        return Response(self.get_serializer(self.one(self.get_queryset(), pause_id)).data)

    def end(self, request: Request, pause_id: str) -> Response:
        """End a pause before its time, and answer with it as it then is. The request's body is not read.

        :raises PauseEnded: when it holds nothing back any more.
        """
        pause = self.one(self.get_queryset(), pause_id)
        try:
            pausing.resume(pause, by=self.caller, now=clock.now())
        except pausing.AlreadyEnded as error:
            raise errors.PauseEnded(str(error)) from error
        return Response(self.get_serializer(pause).data)
