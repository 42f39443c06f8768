"""`/agents`: section "Agents" of the native API's contract."""

from django.db.models import QuerySet
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from deliveries import clock
from deliveries.api.native.pagination import KeysetPagination
from deliveries.api.native.serializers.agents import AgentDraftSerializer, AgentSerializer
from deliveries.api.native.views.base import BASE_PATH, PAGE, NativeViewSet
from deliveries.models import Agent, Scope
from deliveries.services import agents


class AgentViewSet(NativeViewSet[Agent]):
    """`/agents`."""

    scopes = {"create": Scope.AGENTS_MANAGE, "list": Scope.AGENTS_READ, "retrieve": Scope.AGENTS_READ}
    parameters = {"list": PAGE}
    pagination_class = KeysetPagination
    serializer_class = AgentSerializer

    def get_queryset(self) -> QuerySet[Agent]:
        """Return the account's agents."""
        return Agent.objects.filter(account=self.account)

    def create(self, request: Request) -> Response:
        """Make an agent.

        :raises ValidationError: when a field of the body breaks a rule.
        """
        draft = AgentDraftSerializer(data=request.data)
        draft.is_valid(raise_exception=True)
        agent = agents.create(account=self.account, by=self.caller, now=clock.now(), **draft.validated_data)
        return Response(
            self.get_serializer(agent).data,
            status=status.HTTP_201_CREATED,
            headers={"Location": f"{BASE_PATH}/agents/{agent.pk}"},
        )

    def list(self, request: Request) -> Response:
        """Answer with a page of agents, newest first."""
        return self.page_of(self.get_queryset())

    def retrieve(self, request: Request, agent_id: str) -> Response:
        """Answer with one agent."""
        return Response(self.get_serializer(self.one(self.get_queryset(), agent_id)).data)
