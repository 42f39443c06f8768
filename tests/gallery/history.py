"""What had happened before the pictures are taken: a day of traffic with an outage in it.

Run by itself in the environment of the service, on whose database it writes what the recorder would have
written: `python -m tests.gallery.history`.
"""

import math
import random
from collections.abc import Iterator
from datetime import datetime, timedelta

import django

# A picture taken again differs where the service does, and nowhere else.
_RANDOM = random.Random(2026)
DAY, MINUTE = timedelta(days=1), timedelta(minutes=1)
# When the receiver that has an outage was away, before now.
OUTAGE = timedelta(minutes=38), timedelta(minutes=21)


def main() -> None:
    """Write the history."""
    django.setup()
    from deliveries import clock
    from deliveries.models import QueueMinute, TrafficMinute, Webhook

    now = clock.now()
    steady, shaky, *_ = Webhook.objects.order_by("pk")
    minutes = [now - number * MINUTE for number in range(1, DAY // MINUTE)]
    rows = [_of_minute(steady, at, now, failing=False) for at in minutes]
    rows += [_of_minute(shaky, at, now, failing=True) for at in minutes]
    TrafficMinute.objects.bulk_create(rows, ignore_conflicts=True)
    QueueMinute.objects.bulk_create(
        (
            QueueMinute(
                minute=TrafficMinute.of(at), due=due, oldest_due_ms=age, in_flight=4, scheduled=9, held=0
            )
            for at, due, age in _queue(now)
        ),
        ignore_conflicts=True,
    )


def _of_minute(webhook, at: datetime, now: datetime, *, failing: bool):  # type: ignore[no-untyped-def]
    from deliveries.models import TrafficMinute

    # More by day than by night, and never quite the same.
    attempts = int((60 + 35 * math.sin(at.hour / 24 * math.tau)) * _RANDOM.uniform(0.8, 1.2))
    away = failing and OUTAGE[1] < now - at < OUTAGE[0]
    failed = int(attempts * _RANDOM.uniform(0.6, 0.9)) if away else int(_RANDOM.random() < 0.2)
    slow = failed if away else int(attempts * _RANDOM.uniform(0.02, 0.06))
    return TrafficMinute(
        account_id=webhook.account_id,
        webhook=webhook,
        event_type="call.ended",
        minute=TrafficMinute.of(at),
        succeeded=attempts - failed,
        failed=failed,
        unavailable=int(failed * 0.8),
        given_up=0,
        duration_ms=attempts * 80,
        upto_50=(attempts - slow) // 2,
        upto_100=attempts - slow - (attempts - slow) // 2,
        upto_1000=0 if away else slow,
        upto_5000=slow if away else 0,
    )


def _queue(now: datetime) -> Iterator[tuple[datetime, int, int]]:
    for number in range(1, 60):
        at = now - number * MINUTE
        behind = max(0.0, 1 - abs((now - at) / MINUTE - 27) / 12)
        yield at, int(900 * behind) + _RANDOM.randrange(4), int(95_000 * behind) + _RANDOM.randrange(400)


if __name__ == "__main__":
    main()
