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
        said = {"job": job, **about}
        if databases.is_busy(error):
            logger.warning("A part of the tending waits", extra={"event": "tending.postponed", **said})
        elif databases.is_refusal(error):
            logger.exception("A part of the tending failed", extra={"event": "tending.failed", **said})
        else:
            raise
