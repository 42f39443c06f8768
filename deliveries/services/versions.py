"""Versions: what is running, and on what."""

import platform
from dataclasses import dataclass

import django
from django.conf import settings

from deliveries.models.databases import server
from deliveries.services import egress


@dataclass(frozen=True, kw_only=True)
class Versions:
    """Names and versions, of this process and of the database it works on.

    :param engine: what sends, with the libraries it rests on.
    :param redis: whether there is one.
    """

    product: str
    django: str
    python: str
    database: str
    engine: str
    redis: bool


def versions() -> Versions:
    """Return what is running.

    :raises django.db.Error: the database is away.
    """
    return Versions(
        product=settings.VERSION,
        django=django.get_version(),
        python=platform.python_version(),
        database=server(),
        engine=egress.version(),
        redis=bool(settings.REDIS_URL),
    )
