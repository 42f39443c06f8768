"""Guarding: of several pieces of work, one that fails keeps no other from being done."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from deliveries.models import databases

logger = logging.getLogger(__name__)


@contextmanager
def going_on(job: str, **about: Any) -> Iterator[None]:
    """Log what goes wrong in the block, and end it there.

    :param about: what else to log of it.
    :raises django.db.Error: the database is away, or not as it is to be; nothing else could be done either.
    """
    try:
        yield
    except Exception as error:
        busy = databases.is_busy(error)
        if not (busy or databases.is_refusal(error)):
            raise
        extra = {"event": "tending.postponed" if busy else "tending.failed", "job": job, **about}
        level = logging.WARNING if busy else logging.ERROR
        logger.log(level, "A part of the tending was not done", extra=extra, exc_info=not busy)
