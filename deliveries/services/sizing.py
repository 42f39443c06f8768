"""Sizing: what the database takes on the disk, at a cost that does not grow with it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from deliveries.models import Attempt
from deliveries.models.databases import Day, TableSize, database_size, days_kept, table_sizes

# So many tables are listed, the largest.
LISTED = 10


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """The database on the disk. Rows are estimates.

    :param database: all of it, in bytes.
    :param tables: all tables, the largest first.
    :param days: by which attempts are kept, the oldest first; none where the database keeps no days.
    """

    database: int
    tables: Sequence[TableSize]
    days: Sequence[Day]

    @property
    def attempts(self) -> TableSize:
        """The table of attempts, with all its days; of an unknown size where the catalogue has none."""
        name = Attempt._meta.db_table
        unknown = TableSize(name=name, rows=None, data=None, indexes=None)
        return next((table for table in self.tables if table.name == name), unknown)

    @property
    def largest(self) -> Sequence[TableSize]:
        """The largest tables."""
        return self.tables[:LISTED]

    @property
    def known(self) -> bool:
        """Whether it is known what each table takes."""
        return self.attempts.total is not None

    @property
    def day_count(self) -> int:
        """How many days there are, without what was there before them."""
        return sum(day.first is not None for day in self.days)

    @property
    def made_until(self) -> datetime | None:
        """The end of the last day; None where there are no days."""
        return self.days[-1].end if self.days else None


def sizes() -> Sizes:
    """Ask the catalogue.

    :raises django.db.Error: it must not be asked, or the database is away.
    """
    return Sizes(database=database_size(), tables=table_sizes(), days=days_kept())
