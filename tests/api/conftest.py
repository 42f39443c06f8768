"""Clients of the three APIs, a database that goes away, and two requests that meet at a row."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest
from django.db import connection, transaction
from django.db.models import Model
from django.http import HttpResponseBase
from django.test import Client

from deliveries.models import Account, Scope
from tests import builders

ClientWith = Callable[..., Client]
DatabaseFails = Callable[..., AbstractContextManager[None]]
AtOnce = Callable[[Model, Callable[[], HttpResponseBase]], list[HttpResponseBase]]


@pytest.fixture
def client_with(account: Account) -> ClientWith:
    """Makes clients whose key has the scopes named, and no other."""

    def make(*scopes: Scope) -> Client:
        key = builders.a_key(account, **{"scopes": list(scopes)})  # named, for none must not mean all
        return Client(headers={"authorization": f"Bearer {key}"})

    return make


@pytest.fixture
def stranger(db: None) -> Client:
    """A client that carries a key of another account, with every scope.

    It calls all its requests the same, so that answers that say the same are equal.
    """
    key = builders.a_key(builders.an_account(name="Elsewhere"))
    return Client(headers={"authorization": f"Bearer {key}", "x-request-id": "strange"})


@pytest.fixture
def database_fails() -> DatabaseFails:
    """The database answers the statements that begin like this and say this with an error; by default all."""

    @contextmanager
    def failing(error: Exception, *, beginning: str = "", saying: str = "") -> Iterator[None]:
        def refuse(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
            if sql.startswith(beginning) and saying in sql:
                raise error
            return execute(sql, params, many, context)

        with connection.execute_wrapper(refuse):
            yield

    return failing


@pytest.fixture
def at_once() -> AtOnce:
    """Makes a request twice, in two threads that both wait for the row before either goes on."""

    def ask_twice(row: Model, ask: Callable[[], HttpResponseBase]) -> list[HttpResponseBase]:
        def ask_and_close() -> HttpResponseBase:
            try:
                return ask()
            finally:
                connection.close()

        with ThreadPoolExecutor(2) as pool:
            with transaction.atomic():
                type(row)._default_manager.select_for_update().get(pk=row.pk)
                asked = [pool.submit(ask_and_close) for _ in range(2)]
                _wait_for_waiting(2)
            return [each.result() for each in asked]

    return ask_twice


def _wait_for_waiting(count: int) -> None:
    """Wait until so many others wait for a lock."""
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = %s"
    deadline = time.monotonic() + 1.5
    while time.monotonic() < deadline:
        with connection.cursor() as cursor:
            # Inside a transaction the view shows what it showed first.
            cursor.execute("SELECT pg_stat_clear_snapshot()")
            cursor.execute(waiting, [connection.settings_dict["NAME"]])
            if cursor.fetchone()[0] >= count:
                return
        time.sleep(0.01)
    raise AssertionError("The requests did not meet.")
