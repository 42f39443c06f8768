"""A count that ends at a bound."""

from collections.abc import Mapping
from typing import Any

from django.contrib.postgres.expressions import ArraySubquery
from django.db import connection
from django.db.models import Exists, Func, OuterRef, QuerySet


class _EachOf(Func):
    function = "unnest"
    set_returning = True


def count_of_each(
    owners: "QuerySet[Any]",
    rows: "QuerySet[Any]",
    *,
    by: str | Mapping[str, str],
    order: str,
    most: int,
) -> int:
    """Count the rows of these owners, and stop at `most`. No more than twice as many rows are read.

    :param by: the column of the rows that names the owner, or several, each with the owner's that it equals;
        the first ones of the index that is to be read.
    :param order: the one that follows there.
    """
    if connection.vendor != "postgresql" and not isinstance(by, str):
        own = owners.filter(**{its: OuterRef(column) for column, its in by.items()})
        return rows.filter(Exists(own)).order_by()[:most].count()
    if connection.vendor != "postgresql":
        # SQLite goes through the index from owner to owner by itself, and stops where it is told to.
        return rows.filter(**{f"{by}__in": owners.values("pk")}).order_by()[:most].count()
    # PostgreSQL may prefer to read a whole index past the rows that are not wanted, or the whole table. What
    # stands in the list of columns it can only do for one owner after the other.
    columns = {by: "pk"} if isinstance(by, str) else by
    of_owner = (
        rows.filter(**{column: OuterRef(its) for column, its in columns.items()})
        .order_by(order)
        .values(order)[:most]
    )
    return owners.order_by().values(each=_EachOf(ArraySubquery(of_owner)))[:most].count()
