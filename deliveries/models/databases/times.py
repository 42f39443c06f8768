"""The time, which is the database's."""

import logging
from datetime import datetime, timedelta
from typing import Any

from django.db import Error, connection
from django.db.backends.base.base import BaseDatabaseWrapper

from deliveries import clock

logger = logging.getLogger(__name__)


def ask_the_time(connection: BaseDatabaseWrapper, **kwargs: Any) -> None:
    """Set the clock by a connection, as each does that is made. Where that fails, it goes on as it was."""
    if connection.vendor != "postgresql":
        # The host's clock is that of the only process which works on an SQLite file.
        return

    def ask() -> datetime:
        with connection.cursor() as cursor:
            cursor.execute("SELECT clock_timestamp()")
            moment: datetime = cursor.fetchone()[0]
            return moment

    try:
        clock.set_by(ask)
    except Error:
        # Whoever wanted the connection is told by its next statement.
        logger.debug("The database did not tell the time", exc_info=True)


def keep_time(*, within: timedelta) -> timedelta:
    """Ask the database for the time unless that was done lately.

    :returns: how far the host's clock is ahead of the database's.
    """
    if clock.age() > within:
        ask_the_time(connection)
    return clock.skew()
