"""Many rows at once: how to name them to a database, and how to write them.

The ORM is as quick as it needs to be for one row. For hundreds it spends more on each than the database does:
every id is a parameter of its own, and every value of an object is asked for and prepared by itself.
"""

import json
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar
from uuid import UUID

from django.db import connection, models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.base import ModelState
from django.db.models.sql.compiler import SQLCompiler
from psycopg.adapt import Dumper
from psycopg.pq import Format

Row = TypeVar("Row", bound=models.Model)


@models.UUIDField.register_lookup
class Among(models.Lookup[Any]):
    """`pk__among=ids` keeps the rows with one of these UUIDs, as `pk__in=ids` does, with one parameter."""

    lookup_name = "among"
    prepare_rhs = False
    rhs: Iterable[UUID]

    def as_postgresql(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper) -> tuple[str, list[Any]]:
        """Return the condition with an array."""
        column, params = self.process_lhs(compiler, connection)
        return f"{column} = ANY(%s::uuid[])", [*params, f"{{{','.join(each.hex for each in self.rhs)}}}"]

    def as_sqlite(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper) -> tuple[str, list[Any]]:
        """Return the condition with a JSON array."""
        column, params = self.process_lhs(compiler, connection)
        ids = json.dumps([each.hex for each in self.rhs])
        return f"{column} IN (SELECT value FROM json_each(%s))", [*params, ids]  # noqa: S608 - a column of ours


class _Json(Dumper):
    format = Format.TEXT

    def dump(self, obj: dict[str, Any]) -> bytes:
        """Return what a column of JSON takes."""
        return json.dumps(obj).encode()


def instances(
    model: type[Row], columns: Sequence[str], rows: Iterable[Sequence[Any]], *, using: str | None
) -> list[Row]:
    """Return objects as `from_db` makes them of some of their columns; others are read when asked for.

    The ORM looks at every field of the model for each of them, which takes several times as long.
    """
    made = []
    for row in rows:
        new = model.__new__(model)
        new._state = ModelState()
        new._state.adding, new._state.db = False, using
        new.__dict__.update(zip(columns, row, strict=True))
        made.append(new)
    return made


def write(model: type[models.Model], columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Insert rows, given by the values of these columns, in the caller's transaction. Others are left out.

    :raises django.db.DataError: when the database takes one of the values not; nothing is written then.
    """
    if connection.vendor != "postgresql":
        model._default_manager.bulk_create(model(**dict(zip(columns, row, strict=True))) for row in rows)
        return
    quote = connection.ops.quote_name
    statement = f"COPY {quote(model._meta.db_table)} ({', '.join(map(quote, columns))}) FROM STDIN"
    with connection.cursor() as cursor, connection.wrap_database_errors:
        cursor.adapters.register_dumper(dict, _Json)
        with cursor.copy(statement) as copy:
            for row in rows:
                copy.write_row(row)


def add_up(
    model: type[models.Model],
    columns: Sequence[str],
    rows: Sequence[Sequence[Any]],
    *,
    of_each: Sequence[str],
    counts: Sequence[str],
) -> None:
    """Insert rows of counts in their order, or add them to the row there is, in the caller's transaction.

    :param of_each: the columns of which there is one row each, by a unique constraint.
    :param counts: the columns to add to.
    """
    if not rows:
        return
    fields, quote = _fields(model, columns), connection.ops.quote_name
    table, names = quote(model._meta.db_table), ", ".join(map(quote, columns))
    sums = ", ".join(f"{quote(name)} = {table}.{quote(name)} + excluded.{quote(name)}" for name in counts)
    then = f"ON CONFLICT ({', '.join(map(quote, of_each))}) DO UPDATE SET {sums}"
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            given = f"SELECT * FROM {_unnested(fields)}"  # noqa: S608 - names of ours, here and below
            cursor.execute(
                f"INSERT INTO {table} ({names}) {given} {then}",
                [list(column) for column in zip(*rows, strict=True)],
            )
            return
        given = f"VALUES ({', '.join(['%s'] * len(columns))})"
        cursor.executemany(
            f"INSERT INTO {table} ({names}) {given} {then}",
            [
                [field.get_db_prep_value(value, connection) for field, value in zip(fields, row, strict=True)]
                for row in rows
            ],
        )


def rewrite(rows: Sequence[models.Model], columns: Sequence[str]) -> None:
    """Write these columns of rows of one model as the objects have them, in one statement.

    The caller holds the rows locked.
    """
    if not rows:
        return
    model = type(rows[0])
    if connection.vendor != "postgresql":
        model._default_manager.bulk_update(rows, columns)
        return
    fields, quote = [model._meta.pk, *_fields(model, columns)], connection.ops.quote_name
    names = [quote(str(field.column)) for field in fields]
    statement = (
        f"UPDATE {quote(model._meta.db_table)} AS old"  # noqa: S608 - names of ours
        f" SET {', '.join(f'{name} = new.{name}' for name in names[1:])}"
        f" FROM {_unnested(fields)}"
        f" AS new ({', '.join(names)}) WHERE old.{names[0]} = new.{names[0]}"
    )
    with connection.cursor() as cursor:
        cursor.execute(statement, [[getattr(row, field.attname) for row in rows] for field in fields])


def _fields(model: type[models.Model], names: Iterable[str]) -> Sequence["models.Field[Any, Any]"]:
    known = {field.attname: field for field in model._meta.concrete_fields}
    return [known[name] for name in names]


def _unnested(fields: Iterable["models.Field[Any, Any]"]) -> str:
    """Return rows as PostgreSQL makes them of an array for each column."""
    return f"unnest({', '.join(f'%s::{field.db_type(connection)}[]' for field in fields)})"
