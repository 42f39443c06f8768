"""Celery's way to Redis, on which one bad message ends no worker.

Anybody who reaches that Redis may put one there. The library takes it out of the list, and then stumbles over
it; Celery takes that for its own end, and shuts the process down. A message says nothing but "there is work",
so one that cannot be read is dropped.
"""

import logging
from queue import Empty
from typing import Any

from kombu.transport import TRANSPORT_ALIASES, redis

logger = logging.getLogger(__name__)


class Channel(redis.Channel):
    """The library's, which reads past what is no message."""

    def _brpop_read(self, **options: Any) -> bool | None:
        try:
            read: bool | None = super()._brpop_read(**options)  # type: ignore[misc]  # not in its stubs
        except (ValueError, TypeError, LookupError, AttributeError):
            logger.exception("A message that is none was dropped", extra={"event": "broker.message_dropped"})
            raise Empty from None
        return read


class Transport(redis.Transport):
    """The library's, on channels of ours, which leaves no connection behind."""

    Channel = Channel

    def register_with_event_loop(self, connection: Any, loop: Any) -> None:
        """Have a loop look at the connection; close it where that fails.

        It fails where Redis can only be read: after a failover, for example. Celery knows nothing of the
        connection yet, and makes another one, six each second.
        """
        try:
            super().register_with_event_loop(connection, loop)
        except BaseException:
            self.client.close()  # type: ignore[union-attr]  # whoever has a transport has made it
            raise


def use() -> None:
    """Have every broker URL of Redis lead here."""
    TRANSPORT_ALIASES["redis"] = TRANSPORT_ALIASES["rediss"] = f"{__name__}:Transport"
