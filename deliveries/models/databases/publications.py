"""Inserting events with their deliveries and idempotency keys, in as few steps as there can be."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import cache
from itertools import chain
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from django.db import IntegrityError, connection, models, transaction

from deliveries.models.databases.bulk import write

if TYPE_CHECKING:
    from deliveries.models.delivery import Delivery
    from deliveries.models.event import Event, IdempotencyKey

# From so many rows on, to copy them is cheaper than to name each of their values in a statement.
MANY = 20


def store(
    events: Sequence["Event"], deliveries: Sequence["Delivery"], keys: Sequence["IdempotencyKey"]
) -> None:
    """Insert all of them or nothing.

    :raises IntegrityError: one of the keys is there already.
    """
    # In one order for everybody: two calls that each wait for the other's key would stop for good.
    keys = sorted(keys, key=attrgetter("key"))
    tables: list[Sequence[models.Model]] = [rows for rows in (events, deliveries) if rows]
    if connection.vendor != "postgresql":
        with transaction.atomic():
            for rows in [*tables, keys] if keys else tables:
                type(rows[0])._default_manager.bulk_create(rows)
    elif sum(map(len, tables)) < MANY:
        # One statement is in one piece by itself; in a transaction of the caller's it must be undone alone.
        with transaction.atomic() if connection.in_atomic_block else nullcontext():
            _insert(tables, keys)
    else:
        with transaction.atomic():
            if keys:
                _insert([], keys)
            for rows in tables:
                shape = _shape(type(rows[0]))
                write(type(rows[0]), shape.columns, map(shape.values, rows))


def _insert(tables: Sequence[Sequence[models.Model]], keys: Sequence["IdempotencyKey"]) -> None:
    """Insert keys and rows in one statement, if all of the keys are free.

    Where only some are, the free ones are inserted, and have no events: with that no transaction can end.
    """
    steps, values = [], []
    if keys:
        steps.append(f"key AS ({_insertion(keys)} ON CONFLICT DO NOTHING RETURNING 1)")
        values += _values(keys)
    free = "(SELECT count(*) FROM key)" if keys else "0"
    for number, rows in enumerate(tables):
        steps.append(f"step{number} AS ({_insertion(rows)} WHERE {free} = {len(keys)})")
        values += _values(rows)
    with connection.cursor() as cursor:
        cursor.execute(f"WITH {', '.join(steps)} SELECT {free} = {len(keys)}", values)  # noqa: S608 - ours
        if not cursor.fetchone()[0]:
            raise IntegrityError("One of the idempotency keys is there already.")


def _insertion(rows: Sequence[models.Model]) -> str:
    shape = _shape(type(rows[0]))
    given = ", ".join([shape.placeholders] * len(rows))
    return f"INSERT INTO {shape.into} SELECT * FROM (VALUES {given}) AS given"  # noqa: S608 - ours


def _values(rows: Sequence[models.Model]) -> list[Any]:
    return list(chain.from_iterable(map(_shape(type(rows[0])).values, rows)))


class _Shape(NamedTuple):
    """How rows of a table are inserted: its columns, and the values of one row."""

    into: str
    columns: Sequence[str]
    placeholders: str
    values: Callable[[models.Model], tuple[Any, ...]]


@cache
def _shape(model: type[models.Model]) -> _Shape:
    quote = connection.ops.quote_name
    fields = [field for field in model._meta.concrete_fields if not isinstance(field, models.AutoField)]
    columns = [str(field.column) for field in fields]
    # Without a length: what is too long is to be refused, and a cast would cut it off.
    types = [str(field.db_type(connection)).partition("(")[0] for field in fields]
    return _Shape(
        into=f"{quote(model._meta.db_table)} ({', '.join(map(quote, columns))})",
        columns=columns,
        placeholders=f"({', '.join(f'%s::{each}' for each in types)})",
        values=attrgetter(*(field.attname for field in fields)),
    )
