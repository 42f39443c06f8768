"""`/recoveries`: section "Recoveries (bulk retrigger)" of the native API's contract."""

from collections.abc import Callable
from typing import Any

from django.db.models import QuerySet
from rest_framework import status
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from deliveries import clock
from deliveries.api.native import errors
from deliveries.api.native.pagination import KeysetPagination
from deliveries.api.native.serializers.recoveries import (
    STATUS_WORDS,
    PreviewSerializer,
    RecoveryDraftSerializer,
    RecoverySerializer,
)
from deliveries.api.native.views.base import BASE_PATH, NativeViewSet
from deliveries.models import Recovery, Scope
from deliveries.services import recovering


class RecoveryViewSet(NativeViewSet[Recovery]):
    """`/recoveries`."""

    scopes = {
        "create": Scope.RECOVERIES_MANAGE,
        "list": Scope.RECOVERIES_READ,
        "retrieve": Scope.RECOVERIES_READ,
        "pause": Scope.RECOVERIES_MANAGE,
        "resume": Scope.RECOVERIES_MANAGE,
        "cancel": Scope.RECOVERIES_MANAGE,
    }
    parameters = {"list": ("cursor", "page_size", "status")}
    pagination_class = KeysetPagination

    def get_queryset(self) -> QuerySet[Recovery]:
        """Return the account's recoveries."""
        return Recovery.objects.filter(account=self.account)

    def create(self, request: Request) -> Response:
        """Make a recovery of the failures selected, or say with `dry_run` which those would be.

        :raises ValidationError: when a field of the body breaks a rule, and when the filter is empty.
        :raises TooManyRecoveries: when the account has as many unfinished ones as it may.
        """
        draft = RecoveryDraftSerializer(data=request.data)
        draft.is_valid(raise_exception=True)
        wanted = draft.validated_data
        if wanted.pop("dry_run"):
            preview = recovering.preview(account=self.account, selection=wanted["selection"])
            return Response(PreviewSerializer(preview).data)
        try:
            recovery = recovering.create(account=self.account, by=self.caller, now=clock.now(), **wanted)
        except recovering.TooMany as error:
            raise errors.TooManyRecoveries(str(error)) from error
        return Response(
            _shown([recovery])[0],
            status=status.HTTP_202_ACCEPTED,
            headers={"Location": f"{BASE_PATH}/recoveries/{recovery.pk}"},
        )

    def list(self, request: Request) -> Response:
        """Answer with a page of recoveries, newest first.

        :raises ValidationError: when a query parameter is invalid.
        """
        recoveries = self.get_queryset()
        if "status" in request.query_params:
            recoveries = recoveries.filter(status=_status(request.query_params["status"]))
        return self.get_paginated_response(_shown(self.paginate_queryset(recoveries) or []))

    def retrieve(self, request: Request, recovery_id: str) -> Response:
        """Answer with one recovery."""
        return Response(_shown([self.one(self.get_queryset(), recovery_id)])[0])

    def pause(self, request: Request, recovery_id: str) -> Response:
        """Have a running recovery wait."""
        return self._act(recovering.pause, recovery_id)

    def resume(self, request: Request, recovery_id: str) -> Response:
        """Have a paused recovery go on."""
        return self._act(recovering.resume, recovery_id)

    def cancel(self, request: Request, recovery_id: str) -> Response:
        """End a recovery that is not finished."""
        return self._act(recovering.cancel, recovery_id)

    def _act(self, act: Callable[..., Recovery], recovery_id: str) -> Response:
        """Answer with the recovery as it is after the act.

        :raises NotFound: when there is none, or the id is malformed.
        :raises RecoveryStateConflict: when its state does not allow the act.
        """
        recovery = self.one(self.get_queryset(), recovery_id)
        try:
            recovery = act(recovery, by=self.caller, now=clock.now())
        except recovering.StateConflict as error:
            raise errors.RecoveryStateConflict(str(error)) from error
        return Response(_shown([recovery])[0])


def _shown(recoveries: "list[Recovery]") -> list[Any]:
    context = {"progress": recovering.progress(recoveries)}
    return [RecoverySerializer(recovery, context=context).data for recovery in recoveries]


def _status(word: str) -> Recovery.Status:
    words = {word: status for status, word in STATUS_WORDS.items()}
    if word not in words:
        raise ValidationError({"status": [f"Must be one of {', '.join(words)}."]})
    return words[word]
