"""What a client costs that does nothing else: the same requests by bare libcurl and by bare `requests`.

By libcurl with a row written for each, as cheaply as can be: what a sender that logs cannot go below. And by
our engines, without the service around them.
"""

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from ipaddress import ip_network
from itertools import cycle, islice
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pycurl
import requests

from deliveries.addresses import AddressPolicy
from deliveries.transport import Reply, Request, RequestsTransport, Transport
from deliveries.transport.curl_engine import CurlTransport
from tests.measuring.helper import Helper, helping, obey

# As many at once as a worker process has under way.
SLOTS = 256
BATCH = 100
HEADERS = {
    "Content-Type": "application/json",
    "User-Agent": "floor/1",
    "X-Webhook-Event": "call.ended",
    "X-Webhook-Attempt": "1",
    "webhook-id": "01900000-0000-7000-8000-000000000000",
    "webhook-timestamp": "1700000000",
    "webhook-signature": "v1," + "a" * 44,
}
# The columns and the indexes of our attempts, on their own.
TABLE = """
CREATE TABLE attempt (
    id uuid PRIMARY KEY, delivery_id uuid NOT NULL, webhook_id uuid NOT NULL, number integer NOT NULL,
    round smallint NOT NULL, created_at timestamptz NOT NULL, started_at timestamptz NOT NULL,
    duration interval NOT NULL, succeeded boolean NOT NULL, http_status smallint, reason_code text NOT NULL,
    error text NOT NULL, url text NOT NULL, http_method text NOT NULL, request_headers jsonb NOT NULL,
    response_headers jsonb, response_body bytea, remote_address inet, dns_us integer, connect_us integer,
    tls_us integer, first_byte_us integer, UNIQUE (delivery_id, number));
CREATE INDEX ON attempt (webhook_id, created_at, id);
CREATE INDEX ON attempt (created_at);
"""
_COPY = (
    "COPY attempt (id, delivery_id, webhook_id, number, round, created_at, started_at, duration, succeeded,"
    " http_status, reason_code, error, url, http_method, request_headers, response_headers, response_body,"
    " remote_address, dns_us, connect_us, tls_us, first_byte_us)"
    " FROM STDIN"
)


_WEBHOOK = UUID(int=1)
_SENT = json.dumps(HEADERS)
_CAME = json.dumps({"content-type": "text/plain", "content-length": "2"})


@dataclass(frozen=True, kw_only=True)
class Order:
    """What to send.

    :param urls: by turns.
    :param number: of requests.
    """

    urls: Sequence[str]
    number: int
    body: str
    authority: str


@contextmanager
def sending(database_url: str) -> Iterator[Helper]:
    """Run the clients, in a process of their own."""
    with helping(
        "benchmarks.floor", environment={"PATH": os.environ["PATH"], "DATABASE_URL": database_url}
    ) as helper:
        yield helper


def send(helper: Helper, client: str, order: Order) -> None:
    """Have one of `CLIENTS` send; return when all is answered."""
    helper.ask(client, **asdict(order))


@cache
def _database() -> psycopg.Connection:
    return psycopg.connect(os.environ["DATABASE_URL"])


class _Rows:
    """Writes a row for each request, a hundred at a time."""

    def __init__(self) -> None:
        self._connection = _database()
        self._waiting: list[tuple[Any, ...]] = []

    def note(self, url: str) -> None:
        moment = datetime.now(UTC)
        self._waiting.append(
            (uuid4(), uuid4(), _WEBHOOK, 1, 1, moment, moment, timedelta(milliseconds=1), True, 200, "", "",
             url, "POST", _SENT, _CAME, b"ok", "127.0.0.1", None, None, None, 1000)
        )  # fmt: skip
        if len(self._waiting) >= BATCH:
            self.write()

    def write(self) -> None:
        with self._connection.cursor().copy(_COPY) as copy:
            for row in self._waiting:
                copy.write_row(row)
        self._connection.commit()
        self._waiting.clear()


def _by_libcurl(wanted: Order, note: Callable[[str], None] = lambda url: None) -> None:
    multi, done = pycurl.CurlMulti(), 0
    waiting = islice(cycle(wanted.urls), wanted.number)
    free = [_handle(wanted) for _ in range(SLOTS)]
    while done < wanted.number:
        for handle, url in zip(free, waiting, strict=False):
            handle.setopt(pycurl.URL, url)
            multi.add_handle(handle)
        multi.perform()
        _, free, failed = multi.info_read()
        assert not failed, failed
        for handle in free:
            note(handle.getinfo(pycurl.EFFECTIVE_URL))
            multi.remove_handle(handle)
        done += len(free)
        if not free:
            multi.select(1.0)
    multi.close()


def _handle(wanted: Order) -> pycurl.Curl:
    handle = pycurl.Curl()
    handle.setopt(pycurl.POSTFIELDS, wanted.body)
    handle.setopt(pycurl.HTTPHEADER, [f"{name}: {value}" for name, value in HEADERS.items()])
    handle.setopt(pycurl.WRITEFUNCTION, lambda data: None)
    handle.setopt(pycurl.CAINFO, wanted.authority)
    handle.setopt(pycurl.TIMEOUT, 30)
    return handle


def _by_libcurl_with_rows(wanted: Order) -> None:
    rows = _Rows()
    _by_libcurl(wanted, rows.note)
    rows.write()


def _by_requests(wanted: Order) -> None:
    """Send one after the other: with threads each costs twice as much, because they wait for one another."""
    body = wanted.body.encode()
    with requests.Session() as session:
        session.trust_env = False
        session.verify = wanted.authority
        for url in islice(cycle(wanted.urls), wanted.number):
            assert session.post(url, data=body, headers=HEADERS, timeout=30).status_code == 200


def _by_engine(make: Callable[..., Transport], wanted: Order) -> None:
    """Send with an engine of ours, and nothing else of ours."""
    policy = AddressPolicy(allowed_networks=(ip_network("127.0.0.0/8"),), require_https=False)
    engine = make(policy, slots=SLOTS, ca_file=wanted.authority)
    body, timeout, under_way = wanted.body.encode(), timedelta(seconds=30), 0
    for url in islice(cycle(wanted.urls), wanted.number):
        if under_way == SLOTS:
            under_way -= _collect(engine)
        request = Request(url=url, method="POST", headers=HEADERS, body=body, timeout=timeout)
        engine.submit(uuid4(), request)
        under_way += 1
    while under_way:
        under_way -= _collect(engine)
    engine.close()


def _collect(engine: Transport) -> int:
    exchanges = engine.collect(timedelta(seconds=30))
    assert all(isinstance(each.outcome, Reply) for each in exchanges), exchanges
    return len(exchanges)


CLIENTS: Mapping[str, Callable[[Order], None]] = {
    "bare libcurl + bulk insert": _by_libcurl_with_rows,
    "bare libcurl": _by_libcurl,
    "bare requests": _by_requests,
    "the curl engine alone": partial(_by_engine, CurlTransport),
    "the requests engine alone": partial(_by_engine, RequestsTransport),
}


def main() -> None:
    """Obey."""

    def act(verb: str, order: dict[str, Any]) -> None:
        CLIENTS[verb](Order(**order))

    obey(act)


if __name__ == "__main__":
    main()
