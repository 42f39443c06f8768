"""The logs API's views: the webhooks of an agent, and their logs; section "Endpoints" of the contract."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, TypeVar

from django.conf import settings
from django.db.models import Model
from rest_framework import status
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from deliveries import clock
from deliveries.api import conditional, parsing, throttling, timestamps
from deliveries.api.errors import TooManyRequests
from deliveries.api.logs import entries, errors
from deliveries.api.logs.entries import Log
from deliveries.api.logs.pagination import PagePagination
from deliveries.api.logs.serializers import (
    LogSerializer,
    RehearsalSerializer,
    RotatedSerializer,
    RotationSerializer,
    WebhookFieldsSerializer,
    WebhookSerializer,
)
from deliveries.api.views import ContractView, ContractViewSet, UnknownPathView
from deliveries.models import Agent, Attempt, EventType, Scope, Webhook
from deliveries.models.webhook import WebhookQuerySet
from deliveries.services import redelivery, rehearsing, webhooks

Row = TypeVar("Row", bound=Model)

NO_WEBHOOK = "Webhook not found."


class LogsView(ContractView):
    """A view of this contract."""

    def get_exception_handler(self) -> Callable[[Exception, dict[str, Any]], Response]:
        """Return what words this contract's errors."""
        return errors.handler


class BelowAgentViewSet(LogsView, ContractViewSet[Row]):
    """A view below an agent. What the path names is looked up in the order it names it."""

    def agent(self) -> Agent:
        """Return the agent.

        :raises NotFound: when it is not one of the account, or its id is malformed.
        """
        agent_id = parsing.uuid(self.kwargs["agent_id"])
        agent = Agent.objects.filter(account=self.account, pk=agent_id).first() if agent_id else None
        if agent is None:
            raise NotFound("Agent not found in this environment.")
        return agent

    def webhooks(self) -> WebhookQuerySet:
        """Return the webhooks of the agent.

        :raises NotFound: when there is no such agent.
        """
        return Webhook.objects.existing().filter(agent=self.agent())

    def webhook(self) -> Webhook:
        """Return the webhook.

        :raises NotFound: when there is no such agent, or it has no such webhook.
        """
        candidates, webhook_id = self.webhooks(), parsing.uuid(self.kwargs["webhook_id"])
        webhook = candidates.filter(pk=webhook_id).first() if webhook_id else None
        if webhook is None:
            raise NotFound(NO_WEBHOOK)
        return webhook


class WebhookViewSet(BelowAgentViewSet[Webhook]):
    """`/agents/{agent_id}/webhooks`."""

    scopes = {
        "list": Scope.LOGS_READ,
        "retrieve": Scope.LOGS_READ,
        "create": Scope.LOGS_MANAGE,
        "update": Scope.LOGS_MANAGE,
        "destroy": Scope.LOGS_MANAGE,
        "toggle": Scope.LOGS_MANAGE,
        "rotate_secret": Scope.LOGS_MANAGE,
        "test": Scope.LOGS_MANAGE,
    }
    limit_groups = {"test": throttling.Group.TEST}
    serializer_class = WebhookSerializer

    def list(self, request: Request, **path: str) -> Response:
        """Answer with all webhooks of the agent, newest first, and with what a webhook may listen to."""
        rows = self.webhooks().order_by("-created_at", "-pk")
        labels = dict(EventType.objects.order_by("code").values_list("code", "label"))
        data = {"webhooks": self.get_serializer(rows, many=True).data, "available_events": labels}
        return Response({"success": True, "data": data})

    def retrieve(self, request: Request, **path: str) -> Response:
        """Answer with one webhook, or that it is as the request knows it.

        :raises PreconditionFailed: when it is not as the request wants it.
        """
        data = self.get_serializer(self.webhook()).data
        return conditional.answer(request, {"success": True, "data": data}, tag=conditional.entity_tag(data))

    def create(self, request: Request, **path: str) -> Response:
        """Make a webhook.

        :raises ValidationError: when a field breaks a rule of the contract's, or one of ours.
        """
        agent = self.agent()
        given = WebhookFieldsSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        with _in_their_names(given):
            webhook = webhooks.create(
                account=self.account, agent=agent, by=self.caller, now=clock.now(), **given.validated_data
            )
        response = self._changed(webhook, message="Webhook created successfully")
        response.status_code = status.HTTP_201_CREATED
        response.headers["Location"] = f"{request.path.rstrip('/')}/{webhook.pk}"
        return response

    def update(self, request: Request, **path: str) -> Response:
        """Change the fields that are given, and no others.

        :raises PreconditionFailed: when the webhook is not as the request wants it.
        :raises ValidationError: when a field breaks a rule of the contract's, or one of ours.
        """
        with self._as_wanted() as (webhook, unchanged_since):
            given = WebhookFieldsSerializer(webhook, data=request.data, partial=True)
            given.is_valid(raise_exception=True)
            with _in_their_names(given):
                webhooks.change(
                    webhook,
                    by=self.caller,
                    now=clock.now(),
                    unchanged_since=unchanged_since,
                    **given.validated_data,
                )
        return self._changed(webhook, message="Webhook updated successfully")

    def destroy(self, request: Request, **path: str) -> Response:
        """Delete the webhook. What was sent to it stays on record.

        :raises PreconditionFailed: when the webhook is not as the request wants it.
        """
        with self._as_wanted() as (webhook, unchanged_since):
            webhooks.delete(webhook, by=self.caller, now=clock.now(), unchanged_since=unchanged_since)
        return Response({"success": True, "message": "Webhook deleted successfully"})

    def toggle(self, request: Request, **path: str) -> Response:
        """Disable the webhook, or enable it. The request's body is not read.

        :raises PreconditionFailed: when the webhook is not as the request wants it.
        """
        with self._as_wanted() as (webhook, unchanged_since):
            webhooks.toggle(webhook, by=self.caller, now=clock.now(), unchanged_since=unchanged_since)
        return self._changed(webhook, message="Webhook enabled" if webhook.enabled else "Webhook disabled")

    def rotate_secret(self, request: Request, **path: str) -> Response:
        """Give the webhook a new secret and answer with it, this once.

        :raises PreconditionFailed: when the webhook is not as the request wants it.
        :raises ValidationError: for a bad overlap, and for one the present secrets do not allow.
        """
        with self._as_wanted() as (webhook, unchanged_since):
            given = RotationSerializer(data=request.data)
            given.is_valid(raise_exception=True)
            try:
                rotated = webhooks.rotate_secret(
                    webhook,
                    overlap=timedelta(hours=given.validated_data["overlap_hours"]),
                    by=self.caller,
                    now=clock.now(),
                    unchanged_since=unchanged_since,
                )
            except webhooks.NotRotatable as error:
                raise ValidationError({"overlap_hours": [str(error)]}) from error
        data = RotatedSerializer(rotated).data
        return Response({"success": True, "data": data, "message": "Webhook secret rotated successfully"})

    def test(self, request: Request, **path: str) -> Response:
        """Send a test event and answer with what came of it. The request's body is not read.

        :raises TooManyRequests: when this process has enough of them under way.
        """
        try:
            rehearsal = rehearsing.rehearse(self.webhook(), by=self.caller, now=clock.now())
        except rehearsing.Busy as error:
            raise TooManyRequests(wait=None) from error
        message = "Test webhook sent successfully" if rehearsal.succeeded else rehearsal.reason
        data = RehearsalSerializer(rehearsal).data
        return Response({"success": rehearsal.succeeded, "message": message, "data": data})

    def _changed(self, webhook: Webhook, *, message: str) -> Response:
        """Return the answer that shows the webhook after a change."""
        data = self.get_serializer(webhook).data
        body = {"success": True, "data": data, "message": message}
        return Response(body, headers={"ETag": conditional.entity_tag(data)})

    @contextmanager
    def _as_wanted(self) -> Iterator[tuple[Webhook, datetime | None]]:
        """Give the webhook, and since when it must be unchanged if the request has conditions.

        :raises PreconditionFailed: when it is not, or not any more, as the request wants it.
        :raises NotFound: when it is gone.
        """
        webhook = self.webhook()
        tag = conditional.entity_tag(self.get_serializer(webhook).data)
        unchanged_since = webhook.updated_at if conditional.check(self.request, tag) else None
        try:
            yield webhook, unchanged_since
        except webhooks.WebhookChanged as error:
            if unchanged_since is None:
                raise NotFound(NO_WEBHOOK) from error
            raise conditional.PreconditionFailed from error


@contextmanager
def _in_their_names(given: WebhookFieldsSerializer) -> Iterator[None]:
    """Word what the service finds wrong by the names of this contract.

    :raises ValidationError: instead of InvalidWebhook.
    """
    try:
        yield
    except webhooks.InvalidWebhook as error:
        raise ValidationError(given.by_their_names(error.problems)) from error


class LogViewSet(BelowAgentViewSet[Attempt]):
    """`/agents/{agent_id}/webhooks/{webhook_id}/logs`."""

    scopes = {"list": Scope.LOGS_READ, "retry": Scope.LOGS_MANAGE}

    def list(self, request: Request, **path: str) -> Response:
        """Answer with the attempts made and queued, newest first."""
        pagination = PagePagination()
        page = pagination.paginate_queryset(entries.Places(self.webhook(), now=clock.now()), request)
        return pagination.get_paginated_response(LogSerializer(entries.load(page), many=True).data)

    def retry(self, request: Request, **path: str) -> Response:
        """Queue one more attempt of a log's delivery. The log stays as it is; the new one has its own id.

        :raises NotRetriable: unless the log has failed, is within the retention, and its delivery can be
            sent again.
        """
        log, now = self._log(), clock.now()
        if log.status != entries.FAILED or log.created_at < now - settings.WEBHOOKS_RETENTION:
            raise errors.NotRetriable
        try:
            delivery = redelivery.redeliver(log.delivery, by=self.caller, now=now)
        except redelivery.NotRedeliverable as error:
            raise errors.NotRetriable from error
        data = {
            "log_id": str(delivery.next_attempt_id),
            "original_log_id": str(log.id),
            "queued_at": now.strftime(timestamps.SECONDS),
        }
        return Response({"success": True, "message": "Webhook retry queued successfully", "data": data})

    def _log(self) -> Log:
        webhook, log_id = self.webhook(), parsing.uuid(self.kwargs["log_id"])
        logs = entries.load(entries.Places(webhook, now=clock.now()).find(log_id)) if log_id else []
        if not logs:
            raise NotFound("Log not found.")
        return logs[0]


class UnknownPath(LogsView, UnknownPathView):
    """Every other path below an agent's webhooks."""
