"""Processes that take orders."""

import asyncio
import sys

import pytest

from tests.measuring.helper import helping, obey, obey_meanwhile


def act(verb: str, order: dict[str, object]) -> object:
    if verb == "die":
        sys.exit(1)
    return [verb, order]


async def act_later(verb: str, order: dict[str, object]) -> object:
    return act(verb, order)


@pytest.mark.parametrize("how", ["at once", "meanwhile"])
class TestHelper:
    def test_answers_each_order(self, how: str) -> None:
        with helping("tests.measuring.test_helper", how) as helper:
            assert helper.ask("add", first=1, second="ä") == ["add", {"first": 1, "second": "ä"}]
            assert helper.ask("rest") == ["rest", {}]

    def test_says_that_it_has_died(self, how: str) -> None:
        with (
            helping("tests.measuring.test_helper", how) as helper,
            pytest.raises(AssertionError, match="has died"),
        ):
            helper.ask("die")


if __name__ == "__main__":
    if sys.argv[1] == "at once":
        obey(act)
    else:
        asyncio.run(obey_meanwhile(act_later))
