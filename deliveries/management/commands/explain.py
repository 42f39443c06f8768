"""Say why something has not arrived."""

from collections.abc import Iterator
from typing import Any

from django.core.management.base import CommandError, CommandParser

from deliveries import clock
from deliveries.management.try_it.beside import BesideCommand
from deliveries.printing import printable
from deliveries.services import explaining
from deliveries.services.explaining import Answer


class Command(BesideCommand):
    """For whoever has an id, or a URL with one in it, and a question."""

    help = "Say what became of an event, a delivery, an attempt, a failure or a webhook, and what to do."

    def add_arguments(self, parser: CommandParser) -> None:
        """Say of what."""
        parser.add_argument(
            "what", help="an id, a URL with an id in it, the URL of a receiver, or a webhook's exact name"
        )
        super().add_arguments(parser)

    def handle(self, *, what: str, **options: Any) -> str:
        """Return the answer."""
        answer = explaining.explain(what, now=clock.now())
        if answer is None:
            raise CommandError(
                "Nothing is known by that. An attempt that is still to be made is found by its delivery's id."
            )
        return "\n".join(printable(line) for line in _lines(answer))


def _lines(answer: Answer) -> Iterator[str]:
    yield answer.says
    if answer.todo:
        yield f"-> {answer.todo}"
    if len(answer.parts) > 1:
        for part in answer.parts:
            yield f"* {part.says}"
            if part.todo:
                yield f"  -> {part.todo}"
    for skipped in answer.skipped:
        yield f"* Not sent: {skipped.says}"
