"""Sums of many rows by what they have in common."""

import pytest
from django.db.models import F

from deliveries.models import TrafficMinute
from deliveries.models.databases import sums_by
from tests import builders


@pytest.mark.django_db
def test_are_those_of_each_combination_that_occurs() -> None:
    webhook, other = builders.a_webhook(), builders.a_webhook()
    for its, minute, succeeded, failed in ((webhook, 14, 1, 0), (webhook, 15, 2, 5), (webhook, 16, 4, 6)):
        builders.a_minute_of_traffic(its, minute=minute, succeeded=succeeded, failed=failed)
    builders.a_minute_of_traffic(other, minute=15, succeeded=8, failed=0)
    builders.a_minute_of_traffic(other, minute=30, succeeded=99)
    minutes = TrafficMinute.objects.filter(minute__lt=30).annotate(slot=F("minute") / 15)

    rows = sums_by(minutes, ("webhook", "slot"), ("succeeded", "failed"))

    assert sorted(rows) == sorted([(webhook.pk, 0, 1, 0), (webhook.pk, 1, 6, 11), (other.pk, 1, 8, 0)])


@pytest.mark.django_db
def test_are_none_where_there_is_no_row() -> None:
    minutes = TrafficMinute.objects.all()

    assert sums_by(minutes, ("webhook",), ("failed",)) == []
    assert sums_by(minutes.filter(webhook__in=[]), ("webhook",), ("failed",)) == []
