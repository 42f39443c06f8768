"""The published document of the native API, a file for each kind of resource.

Its examples are those the contract prints.
"""

from collections.abc import Iterable, Mapping
from typing import TypeVar

from deliveries.api import openapi
from deliveries.api.native.schema.agents import AGENTS
from deliveries.api.native.schema.catalogue import CATALOGUE
from deliveries.api.native.schema.common import COMMON
from deliveries.api.native.schema.deliveries import DELIVERIES
from deliveries.api.native.schema.events import EVENTS
from deliveries.api.native.schema.pauses import PAUSES
from deliveries.api.native.schema.recoveries import RECOVERIES
from deliveries.api.native.schema.statistics import STATISTICS
from deliveries.api.native.schema.whoami import WHOAMI
from deliveries.api.native.views.base import NativeView
from deliveries.api.openapi import Contract

_RESOURCES = (COMMON, EVENTS, CATALOGUE, DELIVERIES, STATISTICS, AGENTS, RECOVERIES, PAUSES, WHOAMI)

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


def _together(parts: Iterable[Mapping[_Key, _Value]]) -> dict[_Key, _Value]:
    return {key: value for part in parts for key, value in part.items()}


class Generator(openapi.Generator):
    """`docs/openapi/native.yaml`."""

    contract = Contract(
        title="Native API",
        description="Publishing events, and what the other two lack.\n\n"
        "Errors are problem details (RFC 9457) with a stable `code`. A query parameter that is not named "
        "here is 422, with the nearest one that is. Every path works with and without one slash at its end. "
        "Other paths under `/api/v1` answer 404; a method that a path does not have, 405 with an `Allow` "
        "header.",
        view=NativeView,
        tags={
            "Events": "What happened, and who was told.",
            "Deliveries": "Each event on its way to each webhook, and every request that was made.",
            "Statistics": "How much was attempted, and with what success.",
            "Agents": "What webhooks belong to.",
            "Recoveries": "Sending many failures again, as one job.",
            "Pauses": "Keeping something back for a while.",
            "Key": "Who asks.",
        },
        operations=_together(resource.operations for resource in _RESOURCES),
        path_parameters=_together(resource.path_parameters for resource in _RESOURCES),
        parameters=_together(resource.parameters for resource in _RESOURCES),
        responses=_together(resource.responses for resource in _RESOURCES),
        schemas=_together(resource.schemas for resource in _RESOURCES),
        headers=["RateLimit", "RateLimit-Policy"],
    )
