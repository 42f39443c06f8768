"""A Django process that publishes by calling the service's own functions, as the README shows it."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import django

from tests.measuring.helper import Helper, helping, obey


@contextmanager
def calling(environment: Mapping[str, str]) -> Iterator[Helper]:
    """Run the process, with the variables of an installation."""
    variables = {**environment, "DJANGO_SETTINGS_MODULE": "webhooks_project.settings"}
    with helping("benchmarks.inside", environment=variables) as helper:
        yield helper


def main() -> None:
    """Obey: publish so many events a call, for so many seconds, and say how many that were and how long."""
    django.setup()
    from benchmarks.ground import EVENT_TYPE, payload
    from deliveries import clock
    from deliveries.models import Agent
    from deliveries.services import publishing

    def act(verb: str, order: dict[str, Any]) -> object:
        agent = Agent.objects.select_related("account").get(pk=order["agent_id"])
        draft = publishing.Draft(event_type=EVENT_TYPE, payload=payload(order["kilobytes"]), agent=agent)
        began, events = time.monotonic(), 0
        while time.monotonic() < began + order["seconds"]:
            publishing.publish_many(account=agent.account, drafts=[draft] * order["batch"], now=clock.now())
            events += order["batch"]
        return events, time.monotonic() - began

    obey(act)


if __name__ == "__main__":
    main()
