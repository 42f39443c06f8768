"""The publisher itself, with a server that behaves like a bad service."""

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.measuring.controller import Order, publishing

# They are timed, so nothing else that is runs beside them.
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("faults")]

# Gives the status for the n-th request with an idempotency key; None closes the connection instead.
Answer = Callable[[int], int | None]


class Service:
    """Stands for the service: acknowledges, unless told otherwise."""

    def __init__(self) -> None:
        self.keys: Counter[str] = Counter()
        self.agents: Counter[str] = Counter()
        self.answer: Answer = lambda nth: 202


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
def order(service: Service) -> Iterator[Order]:
    """An order to publish to it."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            event = json.loads(self.rfile.read(int(self.headers["content-length"])))
            key = self.headers["idempotency-key"]
            service.keys[key] += 1
            status = service.answer(service.keys[key])
            if status is None:
                self.close_connection = True
                return
            service.agents[event["agent_id"]] += 1
            body = json.dumps({"id": f"id-of-{key}"}).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            """Keep the output of the tests to the tests."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield Order(
            port=server.server_port, key="k", rate=50, seconds=0.4, agents=["a", "b"], words="w", name="order"
        )
        server.shutdown()
        thread.join()


class TestPublishing:
    def test_publishes_at_its_rate_by_turns(self, order: Order, service: Service) -> None:
        with publishing(order) as published:
            pass

        assert sorted(each.event_id for each in published.acknowledged) == sorted(
            f"id-of-order-{number}" for number in range(20)
        )
        assert service.agents == {"a": 10, "b": 10}
        assert published.given_up == 0
        assert 0 < published.answered_within(0.5) < 1

    def test_asks_again_with_the_same_key_until_it_is_acknowledged(
        self, order: Order, service: Service
    ) -> None:
        service.answer = lambda nth: {1: None, 2: 503}.get(nth, 202)

        with publishing(replace(order, rate=2)) as published:
            pass

        assert [each.tries for each in published.acknowledged] == [3]
        assert published.errors == {"503": 1, "ConnectionResetError": 1}
        assert service.keys == {"order-0": 3}

    def test_goes_on_until_the_block_ends_when_told_no_time(self, order: Order, service: Service) -> None:
        with publishing(replace(order, seconds=None)) as published:
            while service.keys.total() < 5:
                pass

        assert len(published.acknowledged) == service.keys.total() >= 5

    def test_counts_from_the_moment_an_event_was_meant_for(self, order: Order, service: Service) -> None:
        service.answer = lambda nth: 503 if nth == 1 else 202

        with publishing(replace(order, rate=10)) as published:
            pass

        # The first try and the wait before the second are the service's fault, not the publisher's.
        assert published.answered_within(0.01) >= 0.07

    def test_takes_a_kept_connection_that_was_closed_for_no_error(
        self, order: Order, service: Service
    ) -> None:
        service.answer = lambda nth: {1: 503, 2: None}.get(nth, 202)

        with publishing(replace(order, rate=2)) as published:
            pass

        assert published.errors == {"503": 1}
        assert service.keys == {"order-0": 3}
