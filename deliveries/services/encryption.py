"""Encryption at rest: sealing everything anew when there is a new key, while the service goes on."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from django.apps import apps
from django.conf import settings
from django.db import models, transaction

from deliveries import secrets
from deliveries.models import AuditEntry
from deliveries.models.fields import Sealed, SealedField
from deliveries.services import auditing

BATCH = 200
# Of how many values that nothing opens the rows are named.
NAMED = 10
# How often is looked again for what somebody changed meanwhile.
MOST_PASSES = 5


@dataclass
class Rotation:
    """What a rotation came to, counted in sealed values.

    :ivar changed: those that somebody else wrote meanwhile, again and again, and with another key than the
        first: whoever that is has not been restarted with it.
    :ivar unreadable: those that none of the keys opens.
    :ivar named: the first `NAMED` of them, as "Webhook 0198...: secret".
    """

    rotated: int = 0
    fresh: int = 0
    changed: int = 0
    unreadable: int = 0
    named: list[str] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """Whether the first key alone opens everything."""
        return not self.unreadable and not self.changed


def rotate(
    *, by: str, now: datetime, dry_run: bool = False, progress: Callable[[int], None] = lambda looked_at: None
) -> Rotation:
    """Seal every value with the first of ENCRYPTION_KEYS that another of them opens, batch by batch.

    A value that is changed meanwhile keeps its change, and nothing but the sealed text is written: neither
    `updated_at` nor an ETag moves. It may be interrupted, and run again.

    :param progress: told after each batch how many values were looked at, those looked at again as well.
    :raises deliveries.secrets.InvalidKey: there is no usable key.
    """
    entry: AuditEntry | None = None
    rotation, looked_at = Rotation(), 0
    for _ in range(MOST_PASSES):
        already = rotation.rotated
        rotation = Rotation(rotated=already)
        for column, batch in _batches():
            with transaction.atomic():
                _rotate_batch(column, batch, rotation, dry_run=dry_run)
                if rotation.rotated > already and not dry_run:
                    entry = entry or auditing.note(AuditEntry.Action.ENCRYPTION_ROTATED, by=by, now=now)
                    entry.details = {"rotated": rotation.rotated}
                    entry.save(update_fields=["details"])
            looked_at += len(batch)
            progress(looked_at)
        rotation.fresh -= 0 if dry_run else already
        # Where there was anything to do, somebody may have written more of it behind our back.
        if dry_run or (rotation.rotated == already and not rotation.changed):
            break
    else:
        rotation.changed += rotation.rotated - already
    return rotation


def _batches() -> Iterator[tuple["SealedField", Sequence[tuple[object, Sealed]]]]:
    """Yield the values of each sealed column, with the keys of their rows, in the order of those."""
    for model in apps.get_app_config("deliveries").get_models():
        for column in model._meta.concrete_fields:
            if isinstance(column, SealedField):
                yield from ((column, batch) for batch in _batches_of(column))


def _batches_of(column: "SealedField") -> Iterator[Sequence[tuple[object, Sealed]]]:
    rows = column.model._default_manager.exclude(**{column.name: None}).order_by("pk")
    batch = list(rows.values_list("pk", column.name)[:BATCH])
    while batch:
        yield batch
        batch = list(rows.filter(pk__gt=batch[-1][0]).values_list("pk", column.name)[:BATCH])


def _rotate_batch(
    column: "SealedField", batch: Sequence[tuple[object, Sealed]], rotation: Rotation, *, dry_run: bool
) -> None:
    for pk, sealed in batch:
        try:
            renewed = secrets.renew(sealed.token, keys=settings.ENCRYPTION_KEYS)
        except secrets.Undecryptable:
            rotation.unreadable += 1
            if len(rotation.named) < NAMED:
                rotation.named.append(f"{column.model.__name__} {pk}: {column.name}")
            continue
        if renewed is None:
            rotation.fresh += 1
        elif dry_run or _replace(column, pk, sealed, Sealed(renewed)):
            rotation.rotated += 1
        else:
            rotation.changed += 1


def _replace(column: "SealedField", pk: object, old: Sealed, new: Sealed) -> bool:
    """Write the new text where the old one still stands, and tell whether it did."""
    rows: models.QuerySet[models.Model] = column.model._default_manager.filter(pk=pk, **{column.name: old})
    return bool(rows.update(**{column.name: new}))
