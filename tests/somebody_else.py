"""Somebody else who works on the database at the same time."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from django.db import connection, transaction

from deliveries.models import Delivery


@contextmanager
def holding(delivery: Delivery) -> Iterator[None]:
    """Have another connection hold the delivery's row for the length of the block."""
    locked, done = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic():
            Delivery.objects.select_for_update().get(pk=delivery.pk)
            locked.set()
            done.wait(10)
        connection.close()

    with ThreadPoolExecutor(1) as pool:
        held = pool.submit(hold)
        assert locked.wait(10)
        yield
        done.set()
        held.result()
