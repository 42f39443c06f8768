"""The failures API's views: what needs attention, sending it again, and the webhooks it was for.

Each action answers as the section of the contract that bears its path says.
"""

import re
from collections.abc import Callable
from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from deliveries import clock
from deliveries.api import conditional, parsing
from deliveries.api.errors import messages
from deliveries.api.failures import errors, pagination
from deliveries.api.failures.filters import FailureFilter
from deliveries.api.failures.serializers import FailureSerializer, WebhookSerializer
from deliveries.api.views import ContractView, ContractViewSet, UnknownPathView
from deliveries.models import Failure, Scope, Webhook
from deliveries.models.failure import FailureQuerySet
from deliveries.models.webhook import WebhookQuerySet
from deliveries.services import redelivery

_ID = re.compile(r"[0-9a-f]{24}")


class FailuresView(ContractView):
    """A view of this contract."""

    def get_exception_handler(self) -> Callable[[Exception, dict[str, Any]], Response]:
        """Return what words this contract's errors."""
        return errors.handler


class FailureViewSet(FailuresView, ContractViewSet[Failure]):
    """`/tasks/webhook_failures`."""

    scopes = {
        "list": Scope.FAILURES_READ,
        "retrieve": Scope.FAILURES_READ,
        "retrigger": Scope.FAILURES_MANAGE,
    }
    filterset_class = FailureFilter
    pagination_class = pagination.FailurePagination
    serializer_class = FailureSerializer

    def get_queryset(self) -> FailureQuerySet:
        """Return the account's failures."""
        return Failure.objects.filter(account=self.account)

    def list(self, request: Request) -> Response:
        """Answer with the failures that need attention, newest first.

        :raises ValidationError: listing every bad parameter.
        """
        failures = self.get_queryset().inactive().order_by("-created_at", "-pk")
        page = self.paginate_queryset(self._matching(failures))
        return self.get_paginated_response(self.get_serializer(page, many=True).data)

    def retrieve(self, request: Request, failure_id: str) -> Response:
        """Answer with one failure, whatever its status."""
        return self._one(self._get(failure_id))

    def retrigger(self, request: Request, failure_id: str) -> Response:
        """Queue one attempt and answer with the failure as it then is. The request's body is not read.

        :raises Conflict: unless the failure is inactive, and its webhook exists and is enabled.
        """
        failure = self._get(failure_id)
        # One transaction, so that what is read back is what was queued, however fast a worker is.
        with transaction.atomic():
            try:
                redelivery.redeliver(failure.delivery, by=self.caller, now=clock.now())
            except redelivery.NotRedeliverable as error:
                raise errors.Conflict(
                    "Only an inactive failure of an enabled webhook can be retriggered."
                ) from error
            failure.refresh_from_db()
        return self._one(failure)

    def _matching(self, failures: FailureQuerySet) -> QuerySet[Failure]:
        """Return the failures the filters leave, once the parameters of the page are known to be good too."""
        problems = pagination.problems(self.request.query_params)
        try:
            matching: QuerySet[Failure] = self.filter_queryset(failures)
        except ValidationError as error:
            raise ValidationError({**messages(error), **problems}) from error
        if problems:
            raise ValidationError(problems)
        return matching

    def _get(self, failure_id: str) -> Failure:
        failures = self.get_queryset().select_related("delivery")
        failure = failures.filter(pk=failure_id).first() if _ID.fullmatch(failure_id) else None
        if failure is None:
            raise NotFound
        return failure

    def _one(self, failure: Failure) -> Response:
        return Response({"webhook_failure": self.get_serializer(failure).data})


class WebhookViewSet(FailuresView, ContractViewSet[Webhook]):
    """`/tasks/webhooks`. Other parameters than those of the page are ignored."""

    scopes = {"list": Scope.FAILURES_READ, "retrieve": Scope.FAILURES_READ}
    pagination_class = pagination.WebhookPagination
    serializer_class = WebhookSerializer

    def get_queryset(self) -> WebhookQuerySet:
        """Return the account's webhooks, those of its agents and those of none."""
        return Webhook.objects.existing().filter(account=self.account)

    def list(self, request: Request) -> Response:
        """Answer with the webhooks, newest first.

        :raises ValidationError: listing every bad parameter.
        """
        if problems := pagination.problems(request.query_params):
            raise ValidationError(problems)
        page = self.paginate_queryset(self.get_queryset().order_by("-created_at", "-pk"))
        return self.get_paginated_response(self.get_serializer(page, many=True).data)

    def retrieve(self, request: Request, webhook_id: str) -> Response:
        """Answer with one webhook, or that it is as the request knows it.

        :raises PreconditionFailed: when it is not as the request wants it.
        """
        known = parsing.uuid(webhook_id)
        webhook = self.get_queryset().filter(pk=known).first() if known else None
        if webhook is None:
            raise NotFound
        data = self.get_serializer(webhook).data
        return conditional.answer(request, {"webhook": data}, tag=conditional.entity_tag(data))


class UnknownPath(FailuresView, UnknownPathView):
    """Every other path under `/api/v4`."""
