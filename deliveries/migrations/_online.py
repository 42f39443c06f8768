"""Operations that let the service go on while they run."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from django.contrib.postgres.operations import AddIndexConcurrently, RemoveIndexConcurrently
from django.db import transaction
from django.db.migrations import AddIndex, AlterField, RemoveIndex, RunSQL
from django.db.models import Index

from deliveries.models.databases.locks import patiently

# The parts of a table with their whole indexes of a kind, the part of what belongs to no other first.
_PARTS = """
SELECT part.relname, min(made.relname)
  FROM pg_inherits
  JOIN pg_class AS part ON part.oid = inhrelid
  LEFT JOIN (pg_index JOIN pg_class AS made ON made.oid = indexrelid)
    ON indrelid = part.oid AND indisvalid AND pg_get_indexdef(indexrelid) LIKE %s
 WHERE inhparent = %s::regclass
 GROUP BY part.oid, part.relname, part.relpartbound
 ORDER BY pg_get_expr(part.relpartbound, part.oid) <> 'DEFAULT', part.relname
"""


class AlterFieldOnline(AlterField):
    """Alter a field whose change takes two tables, its own and the one it refers to; needs `atomic = False`."""

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        """Alter the field, once both are free. Backwards it is done the same way."""
        alter = partial(super().database_forwards, app_label, schema_editor, from_state, to_state)
        alias = schema_editor.connection.alias
        if schema_editor.connection.vendor != "postgresql":
            # SQLite copies the table; half a copy would be in the way of the next try.
            with transaction.atomic(alias):
                alter()
            return
        model = to_state.apps.get_model(app_label, self.model_name)
        tables = {each._meta.db_table for each in (model, model._meta.get_field(self.name).related_model)}
        patiently(sorted(tables), alter, using=alias)


class AddIndexOnline(AddIndexConcurrently):
    """Make an index without keeping anybody from writing; needs `atomic = False`.

    On PostgreSQL it may be interrupted, and then run again. It waits for the transactions that were there before
    it, a dump or a report, for as long as a statement may take. SQLite has one writer anyway.
    """

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        """Make the index, in place of one that an interrupted run left half made."""
        if schema_editor.connection.vendor != "postgresql":
            AddIndex.database_forwards(self, app_label, schema_editor, from_state, to_state)
            return
        name = schema_editor.quote_name(self.index.name)
        with _waiting(schema_editor):
            schema_editor.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
            super().database_forwards(app_label, schema_editor, from_state, to_state)

    def database_backwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        """Take the index away again."""
        if schema_editor.connection.vendor != "postgresql":
            AddIndex.database_backwards(self, app_label, schema_editor, from_state, to_state)
            return
        with _waiting(schema_editor):
            super().database_backwards(app_label, schema_editor, from_state, to_state)


class AddIndexToPartsOnline(AddIndexOnline):
    """Make an index of a table that PostgreSQL keeps in parts, one part after the other; needs `atomic = False`.

    It may be interrupted, and then run again: what is made is not made twice. SQLite makes the index as it is.

    :param how: what PostgreSQL makes of it: its method, and the columns.
    :param options: of the method.
    :param where: which rows are in it, in the words in which PostgreSQL says so; all where it is empty.
    """

    def __init__(
        self, model_name: str, index: Index, *, how: str, options: str = "", where: str = ""
    ) -> None:
        super().__init__(model_name, index)
        self.how, self.options, self.where = how, options, where

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        """Make it of each part, which keeps nobody from writing, and then of the table, which is only names."""
        if schema_editor.connection.vendor != "postgresql":
            super().database_forwards(app_label, schema_editor, from_state, to_state)
            return
        self._ensure_not_in_transaction(schema_editor)
        table = to_state.apps.get_model(app_label, self.model_name)._meta.db_table
        with _waiting(schema_editor):
            while lacking := [part for part, made in self._parts(schema_editor, table) if made is None]:
                self._make(schema_editor, lacking[0])
        self._change(schema_editor, table, partial(self._unite, schema_editor, table))

    def database_backwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        """Take the index away again, which takes it from all parts."""
        if schema_editor.connection.vendor != "postgresql":
            super().database_backwards(app_label, schema_editor, from_state, to_state)
            return
        table = from_state.apps.get_model(app_label, self.model_name)._meta.db_table
        self._change(schema_editor, table, partial(schema_editor.execute, f"DROP INDEX {self.index.name}"))

    @property
    def _using(self) -> str:
        options = f" WITH ({self.options})" if self.options else ""
        return f"USING {self.how}{options}{self._of_some}"

    @property
    def _of_some(self) -> str:
        return f" WHERE {self.where}" if self.where else ""

    def _parts(self, schema_editor: Any, table: str) -> list[tuple[str, str | None]]:
        """Return the parts of the table, each with the name of its index; None where it has none, or half of one.

        The part of what belongs to no other comes first. Others that come are made like it, by somebody who
        locks it, so none of those lacks the index once it has one.
        """
        with schema_editor.connection.cursor() as cursor:
            cursor.execute(_PARTS, [f"% USING {self.how}%{self._of_some}", table])
            parts: list[tuple[str, str | None]] = cursor.fetchall()
            return parts

    def _make(self, schema_editor: Any, part: str) -> None:
        name = f"{part}_{self.index.name}"
        schema_editor.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
        schema_editor.execute(f"CREATE INDEX CONCURRENTLY {name} ON {part} {self._using}")

    def _unite(self, schema_editor: Any, table: str) -> None:
        """Make the indexes of the parts one of the table: parts made from now on get it from there."""
        name = self.index.name
        schema_editor.execute(f"CREATE INDEX IF NOT EXISTS {name} ON ONLY {table} {self._using}")
        for _, made in self._parts(schema_editor, table):
            schema_editor.execute(f"ALTER INDEX {name} ATTACH PARTITION {made}")

    def _change(self, schema_editor: Any, table: str, change: Callable[[], None]) -> None:
        tables = [table, *(part for part, _ in self._parts(schema_editor, table))]
        patiently(tables, change, using=schema_editor.connection.alias)


class RemoveIndexOnline(RemoveIndexConcurrently):
    """Drop an index without waiting for everybody with a lock on its table; needs `atomic = False`."""

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        """Drop the index."""
        if schema_editor.connection.vendor != "postgresql":
            RemoveIndex.database_forwards(self, app_label, schema_editor, from_state, to_state)
            return
        with _waiting(schema_editor):
            super().database_forwards(app_label, schema_editor, from_state, to_state)

    def database_backwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        """Make the index again."""
        if schema_editor.connection.vendor != "postgresql":
            RemoveIndex.database_backwards(self, app_label, schema_editor, from_state, to_state)
            return
        with _waiting(schema_editor):
            super().database_backwards(app_label, schema_editor, from_state, to_state)


class RunOnPostgreSQL(RunSQL):
    """Statements that mean nothing to SQLite, which goes without."""

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        """Run them."""
        if schema_editor.connection.vendor == "postgresql":
            super().database_forwards(app_label, schema_editor, from_state, to_state)

    def database_backwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        """Take back what they did."""
        if schema_editor.connection.vendor == "postgresql":
            super().database_backwards(app_label, schema_editor, from_state, to_state)


@contextmanager
def _waiting(schema_editor: Any) -> Iterator[None]:
    """Wait for locks in the block: who waits for these stands in nobody's way."""
    schema_editor.execute("SET lock_timeout = 0")
    try:
        yield
    finally:
        schema_editor.execute("RESET lock_timeout")
