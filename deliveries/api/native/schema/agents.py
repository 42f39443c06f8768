"""Agents, in the document of the native API."""

from deliveries.api import openapi
from deliveries.api.native.schema.common import (
    CREATED_AT,
    MOMENT,
    UUID,
    Resource,
    answer,
    fetching,
    listing,
    page,
    path_ids,
)
from deliveries.api.native.views.agents import AgentViewSet
from deliveries.api.openapi import Body, Json, Operation

_AGENT: Json = {"id": "9fbef0b7-8d4e-4a08-9207-66c22155721d", "name": "Reception", "created_at": CREATED_AT}


AGENTS = Resource(
    operations={
        (AgentViewSet, "create"): Operation(
            id="createAgent",
            tag="Agents",
            summary="Create an agent",
            description="What webhooks of the logs API belong to.",
            body=Body(schema=openapi.ref("AgentDraft"), examples={"agent": {"name": "Reception"}}),
            answers={201: answer("The new agent.", "Agent", _AGENT, headers=["Location"])},
        ),
        (AgentViewSet, "list"): listing(
            "listAgents",
            "List agents",
            tag="Agents",
            found="A page of agents.",
            schema="AgentPage",
            row=_AGENT,
        ),
        (AgentViewSet, "retrieve"): fetching(
            "getAgent",
            "Get an agent",
            tag="Agents",
            description="One agent.",
            found=answer("The agent.", "Agent", _AGENT),
        ),
    },
    schemas={
        "AgentDraft": openapi.obj({"name": openapi.text(minLength=1, maxLength=255)}),
        "Agent": openapi.obj({"id": UUID, "name": openapi.text(), "created_at": MOMENT}),
        "AgentPage": page("Agent"),
    },
    path_parameters=path_ids(agent_id="one of the account's agents"),
)
