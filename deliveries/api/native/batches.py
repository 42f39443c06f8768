"""Reading a batch: each event by itself, so that the answer can name everything that is wrong with any."""

from collections.abc import Mapping, Sequence
from typing import Any

from rest_framework.exceptions import ValidationError

from deliveries.api.errors import messages
from deliveries.api.native.serializers.events import BatchedEventDraftSerializer
from deliveries.api.native.serializers.fields import agents_named
from deliveries.models import Account
from deliveries.services import publishing
from deliveries.services.publishing import Draft

Problems = Mapping[int, Mapping[str, Any]]

# How many problems an answer tells of; of 500 items, each may have as many as it has fields, and more.
_MOST_PROBLEMS = 200


def read(items: Sequence[Any], *, account: Account) -> list[Draft]:
    """Return the drafts that the items of a batch spell, in their order.

    :raises ValidationError: naming every bad item, also those that only the service can judge.
    """
    item = BatchedEventDraftSerializer(context={"agents": agents_named(items, account=account)})
    drafts: dict[int, Draft] = {}
    problems: dict[int, Mapping[str, Any]] = {}
    for place, each in enumerate(items):
        try:
            drafts[place] = Draft(**item.run_validation(each))
        except ValidationError as error:
            problems[place] = messages(error)
    if problems:
        raise invalid({**_judged(drafts, account), **problems})
    return list(drafts.values())


def invalid(problems: Problems) -> ValidationError:
    """Return the error that names a field as `events[3].payload`, and a whole item as `events[3]`.

    Every bad item is in it; of those whose problems would make it too long, only that they are bad.
    """
    told: dict[str, Any] = {}
    problems_told = 0
    for place, fields in sorted(problems.items()):
        problems_told += len(fields)
        if problems_told > _MOST_PROBLEMS:
            told[_name(place, "")] = ["Not valid either."]
        else:
            told.update({_name(place, field): found for field, found in fields.items()})
    return ValidationError(told)


def key_names(places: Sequence[int]) -> list[str]:
    """Return how an error names the idempotency keys of items."""
    return [_name(place, "idempotency_key") for place in places]


def _name(place: int, field: str) -> str:
    return f"events[{place}].{field}" if field else f"events[{place}]"


def _judged(drafts: Mapping[int, Draft], account: Account) -> Problems:
    """Return what the service finds wrong with the drafts that were readable, by their place in the batch."""
    places = list(drafts)
    try:
        publishing.check(account=account, drafts=list(drafts.values()))
    except publishing.InvalidEvents as error:
        return {places[index]: fields for index, fields in error.problems.items()}
    return {}
