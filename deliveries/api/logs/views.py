"""The logs API's views: the webhooks of an agent, and their logs; section "Endpoints" of the contract."""

from collections.abc import Callable
from typing import Any, TypeVar

from django.conf import settings
from django.db.models import Model
from django.utils import timezone
from rest_framework import status
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from deliveries.api import parsing, timestamps
from deliveries.api.logs import entries, errors
from deliveries.api.logs.entries import Log
from deliveries.api.logs.pagination import PagePagination
from deliveries.api.logs.serializers import LogSerializer, WebhookFieldsSerializer, WebhookSerializer
from deliveries.api.views import ContractView, ContractViewSet, UnknownPathView
from deliveries.models import Agent, Attempt, EventType, Scope, Webhook
from deliveries.models.webhook import WebhookQuerySet
from deliveries.services import redelivery, webhooks

Row = TypeVar("Row", bound=Model)


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
            raise NotFound("Webhook not found.")
        return webhook


class WebhookViewSet(BelowAgentViewSet[Webhook]):
    """`/agents/{agent_id}/webhooks`."""

    scopes = {"list": Scope.LOGS_READ, "retrieve": Scope.LOGS_READ, "create": Scope.LOGS_MANAGE}
    serializer_class = WebhookSerializer

    def list(self, request: Request, **path: str) -> Response:
        """Answer with all webhooks of the agent, newest first, and with what a webhook may listen to."""
        rows = self.webhooks().order_by("-created_at", "-pk")
        labels = dict(EventType.objects.order_by("code").values_list("code", "label"))
        data = {"webhooks": self.get_serializer(rows, many=True).data, "available_events": labels}
        return Response({"success": True, "data": data})

    def retrieve(self, request: Request, **path: str) -> Response:
        """Answer with one webhook."""
        return Response({"success": True, "data": self.get_serializer(self.webhook()).data})

    def create(self, request: Request, **path: str) -> Response:
        """Make a webhook.

        :raises ValidationError: when a field breaks a rule of the contract's, or one of ours.
        """
        agent = self.agent()
        given = WebhookFieldsSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        try:
            webhook = webhooks.create(
                account=self.account, agent=agent, by=self.caller, now=timezone.now(), **given.validated_data
            )
        except webhooks.InvalidWebhook as error:
            raise ValidationError(given.by_their_names(error.problems)) from error
        return Response(
            {
                "success": True,
                "data": self.get_serializer(webhook).data,
                "message": "Webhook created successfully",
            },
            status=status.HTTP_201_CREATED,
        )


class LogViewSet(BelowAgentViewSet[Attempt]):
    """`/agents/{agent_id}/webhooks/{webhook_id}/logs`."""

    scopes = {"list": Scope.LOGS_READ, "retry": Scope.LOGS_MANAGE}

    def list(self, request: Request, **path: str) -> Response:
        """Answer with the attempts made and queued, newest first."""
        pagination = PagePagination()
        page = pagination.paginate_queryset(entries.Places(self.webhook()), request)
        return pagination.get_paginated_response(LogSerializer(entries.load(page), many=True).data)

    def retry(self, request: Request, **path: str) -> Response:
        """Queue one more attempt of a log's delivery. The log stays as it is; the new one has its own id.

        :raises NotRetriable: unless the log has failed, is within the retention, and its delivery can be
            sent again.
        """
        log, now = self._log(), timezone.now()
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
        logs = entries.load(entries.Places(webhook).find(log_id)) if log_id else []
        if not logs:
            raise NotFound("Log not found.")
        return logs[0]


class UnknownPath(LogsView, UnknownPathView):
    """Every other path below an agent's webhooks."""
