"""Seal with the new key what the old one sealed."""

from collections.abc import Iterator
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from deliveries import clock
from deliveries.management.progress import Progress
from deliveries.services import encryption
from deliveries.services.encryption import Rotation


class Command(BaseCommand):
    """While the service runs; every process of it needs both keys by then, the new one first."""

    help = (
        "Encrypt webhook secrets, credentials and headers with the first of ENCRYPTION_KEYS. Put the new "
        "key before the old one and restart every process first."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Say whether to do it."""
        parser.add_argument("--dry-run", action="store_true", help="only count")

    def handle(self, *, dry_run: bool, **options: Any) -> str:
        """Rotate, and return how much that was.

        :raises CommandError: something is left that the first key does not open.
        """
        with Progress(self.stderr, "values") as progress:
            rotation = encryption.rotate(
                by="manage.py rotate_encryption", now=clock.now(), dry_run=dry_run, progress=progress
            )
        counts = (
            f"{'Would rotate' if dry_run else 'Rotated'} {rotation.rotated} values; "
            f"{rotation.fresh} had the first key already, {rotation.unreadable} cannot be read."
        )
        if rotation.unreadable:
            raise CommandError("\n".join([counts, *_what_to_do(rotation)]))
        if rotation.changed:
            raise CommandError(
                f"{counts} {rotation.changed} are still written with an old key: restart every process with "
                "the new one first, and run this again."
            )
        if dry_run:
            return counts
        return f"{counts} The first key alone opens everything: the others may be taken out now."


def _what_to_do(rotation: Rotation) -> Iterator[str]:
    """Yield the lines about what cannot be read."""
    yield (
        "Put the key that sealed them at the end of ENCRYPTION_KEYS and run this again; if it is lost, set "
        "these values anew in the console."
    )
    yield "None of ENCRYPTION_KEYS opens:"
    yield from rotation.named
    if rotation.unreadable > len(rotation.named):
        yield f"and {rotation.unreadable - len(rotation.named)} more."
