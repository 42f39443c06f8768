"""Fields of the native API, strict about types, and the base of everything a consumer sends."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.fields import empty

from deliveries import payloads
from deliveries.api import parsing, timestamps
from deliveries.api.errors import messages
from deliveries.models import Account, Agent
from deliveries.services import matching


class StringField(serializers.CharField):
    """A string that is one, kept as it came: DRF's field takes numbers as well, and cuts off blanks."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(trim_whitespace=False, **kwargs)

    def to_internal_value(self, data: Any) -> str:
        """Return the string.

        :raises ValidationError: for anything else, and for nothing but blanks.
        """
        if not isinstance(data, str):
            self.fail("invalid")
        if not data.strip():
            self.fail("blank")
        return super().to_internal_value(data)


class PayloadField(serializers.Field[Any, Any, Any, Any]):
    """The payload of an event: a JSON object."""

    default_error_messages = {"invalid": "Must be a JSON object."}

    def to_internal_value(self, data: Any) -> payloads.Parsed:
        """Return the object, as one that the parser of the body has read by the rules of payloads.

        :raises ValidationError: for any other value.
        """
        if not isinstance(data, dict):
            self.fail("invalid")
        return payloads.Parsed(data)


class MomentField(serializers.Field[Any, Any, Any, Any]):
    """A moment with its zone."""

    default_error_messages = {
        "invalid": 'Must be an ISO 8601 date and time with a time zone, such as "2026-03-15T10:00:00Z".'
    }

    def to_internal_value(self, data: Any) -> datetime:
        """Return the moment.

        :raises ValidationError: for anything else.
        """
        try:
            return timestamps.parse(data if isinstance(data, str) else "")
        except timestamps.NotATimestamp:
            self.fail("invalid")


class WholeNumberField(serializers.Field[Any, Any, Any, Any]):
    """An integer of a range; DRF's field takes texts and fractions as well."""

    default_error_messages = {"invalid": "Must be a whole number from {least} to {most}."}

    def __init__(self, *, least: int, most: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.least, self.most = least, most

    def to_internal_value(self, data: Any) -> int:
        """Return the number.

        :raises ValidationError: for anything else, a boolean included.
        """
        if not isinstance(data, int) or isinstance(data, bool) or not self.least <= data <= self.most:
            self.fail("invalid", least=self.least, most=self.most)
        return data


class FlagField(serializers.Field[Any, Any, Any, Any]):
    """A boolean that is one; DRF's field takes texts and numbers as well."""

    default_error_messages = {"invalid": "Must be true or false."}

    def to_internal_value(self, data: Any) -> bool:
        """Return the boolean.

        :raises ValidationError: for anything else.
        """
        if not isinstance(data, bool):
            self.fail("invalid")
        return data


class IdField(serializers.Field[Any, Any, Any, Any]):
    """An id, whether there is anything of that id or not."""

    default_error_messages = {"invalid": "Must be a UUID."}

    def to_internal_value(self, data: Any) -> UUID:
        """Return the id.

        :raises ValidationError: for any other value.
        """
        found = parsing.uuid(data) if isinstance(data, str) else None
        if found is None:
            self.fail("invalid")
        return found


class AgentIdField(serializers.Field[Any, Any, Any, Any]):
    """The id of one of the account's agents; `agents_named` put those into the serializer's context."""

    default_error_messages = {"invalid": "Must be the id of an agent of this account."}

    def to_internal_value(self, data: Any) -> Agent:
        """Return the agent.

        :raises ValidationError: for anything else, the id of another account's agent included.
        """
        agents: Mapping[UUID, Agent] = self.context["agents"]
        agent_id = parsing.uuid(data) if isinstance(data, str) else None
        if agent_id is None or agent_id not in agents:
            self.fail("invalid")
        return agents[agent_id]


def agents_named(drafts: Iterable[Any], *, account: Account) -> Mapping[UUID, Agent]:
    """Return those of the account's agents that drafts name as `agent_id`, in one query at most."""
    texts = {draft["agent_id"] for draft in drafts if _names_an_agent(draft)}
    ids = {agent_id for agent_id in map(parsing.uuid, texts) if agent_id}
    return matching.agents(account.pk, ids)


def _names_an_agent(draft: Any) -> bool:
    return isinstance(draft, dict) and isinstance(draft.get("agent_id"), str)


class StrictSerializer(serializers.Serializer[Any]):
    """What a consumer sends, and nothing else beside it.

    `whole` is how an error names the object itself.
    """

    whole = "body"

    def run_validation(self, data: Any = empty) -> Any:
        """Return what `to_internal_value` returns.

        :raises ValidationError: also for a body that is no JSON object.
        """
        if not isinstance(data, dict):
            raise ValidationError({self.whole: ["Must be a JSON object."]})
        return super().run_validation(data)

    def to_internal_value(self, data: Any) -> Any:
        """Return the values by our own names.

        :raises ValidationError: listing every field that is wrong or missing, and the first few unknown ones.
        """
        unknown, more = parsing.unknown_names(data, self.fields)
        problems = {name: ["Unknown field."] for name in unknown}
        if more:
            problems.setdefault(self.whole, []).append(f"{more:,} more fields are unknown.")
        try:
            values = super().to_internal_value(data)
        except ValidationError as error:
            raise ValidationError({**messages(error), **problems}) from error
        if problems:
            raise ValidationError(problems)
        return values
