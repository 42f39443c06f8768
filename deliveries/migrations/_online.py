"""Operations that let the service go on while they run."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from django.contrib.postgres.operations import AddIndexConcurrently, RemoveIndexConcurrently
from django.db import transaction
from django.db.migrations import AddIndex, AlterField, RemoveIndex, RunSQL

from deliveries.models.databases.locks import patiently


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
