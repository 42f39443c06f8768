"""Everybody who takes part, with little to do: that what is measured is what happens."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from benchmarks import console, floor
from benchmarks.contenders import (
    BARE_CURL,
    BASELINE,
    CURL,
    FLOOR,
    REQUESTS,
    Deliver,
    contenders,
)
from benchmarks.ground import Ground, payload, prepared
from benchmarks.history import DAYS, history
from benchmarks.installation import Installation, Load, Standing
from benchmarks.rival import rival
from benchmarks.traffic import flow

pytestmark = [pytest.mark.postgresql, pytest.mark.slow, pytest.mark.xdist_group("benchmarks")]

NAMES = (CURL, REQUESTS, BASELINE, *floor.CLIENTS)


@pytest.fixture(scope="module")
def ground() -> Iterator[Ground]:
    with prepared() as ground:
        yield ground


@pytest.fixture(scope="module")
def deliver(ground: Ground) -> Iterator[dict[str, Deliver]]:
    with contenders(ground) as deliver:
        yield deliver


def installation(ground: Ground) -> Installation:
    made = ground.made("curl_1")
    assert isinstance(made, Installation)
    return made


def stands(standing: Standing) -> bool:
    """Tell whether the first process of the worker is stopped."""
    stat = Path(f"/proc/{standing.worker.pid}/stat").read_text()
    return stat.rpartition(")")[2].split()[0] == "T"


class TestContenders:
    @pytest.mark.parametrize("name", NAMES)
    def test_deliver_what_they_are_given(
        self, ground: Ground, deliver: dict[str, Deliver], name: str
    ) -> None:
        numbers = deliver[name](Load(deliveries=60, webhooks=20))

        assert (numbers["deliveries"], ground.receiver.count()) == (60, 60)
        assert numbers["seconds"] > 0
        assert numbers["cpu worker"] > 0

    @pytest.mark.parametrize("name", NAMES)
    def test_deliver_over_tls_on_connections_that_are_closed(
        self, ground: Ground, deliver: dict[str, Deliver], name: str
    ) -> None:
        deliver[name](Load(deliveries=6, webhooks=2, tls=True, kept=False))

        assert ground.tls_receiver.count() == 6

    def test_count_their_own_statements_alone(self, deliver: dict[str, Deliver]) -> None:
        for name in NAMES:  # who connects says a few things first
            deliver[name](Load(deliveries=100))
        statements = {name: deliver[name](Load(deliveries=40))["statements"] for name in NAMES}

        # Two that write and one that reads, BEGIN and COMMIT.
        assert statements[BASELINE] == 40 * 5
        assert 0 < statements[CURL] < 40 * 5
        # A COPY with its BEGIN and COMMIT.
        assert statements[FLOOR] == 3
        assert statements[BARE_CURL] == 0

    def test_stand_still_while_it_is_not_their_turn(
        self, ground: Ground, deliver: dict[str, Deliver]
    ) -> None:
        deliver[CURL](Load(deliveries=10))

        assert stands(installation(ground))
        assert stands(rival(ground))


class TestBaseline:
    def test_keeps_its_connections(self, ground: Ground, deliver: dict[str, Deliver]) -> None:
        def pids() -> set[object]:
            query = "SELECT pid FROM pg_stat_activity WHERE datname = 'baseline' AND usename = 'postgres'"
            return {pid for (pid,) in ground.watch.execute(query)}

        deliver[BASELINE](Load(deliveries=200))
        before = pids()
        deliver[BASELINE](Load(deliveries=200))

        assert before
        assert pids() == before

    def test_writes_down_what_came_of_each_attempt(self, ground: Ground, deliver: dict[str, Deliver]) -> None:
        deliver[BASELINE](Load(deliveries=10))

        (attempt,) = rival(ground).rows(
            "SELECT number, http_status, response_body, request_headers ->> 'webhook-signature' LIKE 'v1,%'"
            " FROM baseline_attempt ORDER BY id DESC LIMIT 1"
        )
        assert attempt == (1, 200, "ok", True)


class TestFloor:
    def test_writes_a_row_for_each(self, ground: Ground, deliver: dict[str, Deliver]) -> None:
        with psycopg.connect(ground.database("floor")) as database:
            before = database.execute("SELECT count(*) FROM attempt").fetchone()
            deliver[FLOOR](Load(deliveries=floor.BATCH + 20))
            after = database.execute("SELECT count(*) FROM attempt").fetchone()

        assert before is not None
        assert after == (before[0] + floor.BATCH + 20,)


class TestQueue:
    def test_holds_events_and_deliveries_as_the_service_makes_them(
        self, ground: Ground, deliver: dict[str, Deliver]
    ) -> None:
        ours = installation(ground)
        before = ours.rows("SELECT count(*) FROM deliveries_event")[0][0]
        deliver[CURL](Load(deliveries=60, webhooks=20, fan_out=10, kilobytes=10))

        assert ours.rows("SELECT count(*) FROM deliveries_event")[0][0] == before + 6
        assert ours.rows(
            "SELECT count(DISTINCT webhook_id), min(octet_length(body)), max(octet_length(body))"
            " FROM deliveries_delivery AS delivery JOIN deliveries_event AS event ON event.id = event_id"
            " GROUP BY event_id HAVING count(*) = 10"
        ) == 6 * [(10, 10240, 10240)]
        assert ours.rows(
            "SELECT DISTINCT status FROM deliveries_delivery AS delivery"
            " JOIN bench.webhooks AS made ON made.id = webhook_id"
        ) == [("succeeded",)]

    def test_payload_is_as_large_as_it_says(self) -> None:
        assert len(str(payload(1)).replace(" ", "")) == 1024


class TestHistory:
    def test_has_so_many_attempts_a_quarter_of_them_of_one_webhook(self, ground: Ground) -> None:
        past = history(ground, 2000)

        def count(what: str) -> int:
            return int(past.rows(f"SELECT count(*) FROM {what}")[0][0])

        busy = f"deliveries_attempt WHERE webhook_id = '{past.busy}'"
        deliveries = 2000 * 800 // 882
        assert count("deliveries_attempt") == pytest.approx(2000, abs=25)
        assert count(busy) == pytest.approx(500, abs=60)
        assert count("deliveries_delivery") == pytest.approx(deliveries, abs=5)
        assert count("deliveries_event") == pytest.approx(deliveries / 4, abs=5)
        parts = dict(
            past.rows("SELECT tableoid::regclass::text, count(*) FROM deliveries_attempt GROUP BY 1")
        )
        assert DAYS <= len(parts) <= DAYS + 1
        assert max(parts.values()) == pytest.approx(2000 / DAYS, abs=15)
        assert "deliveries_attempt_other" not in parts
        # Every attempt is of a delivery, and every delivery of an event.
        its = "deliveries_delivery AS d ON d.id = a.delivery_id AND d.webhook_id = a.webhook_id"
        assert count(f"deliveries_attempt AS a JOIN {its}") >= 1975
        of_event = "deliveries_delivery AS d JOIN deliveries_event AS e ON e.id = d.event_id"
        assert count(of_event) == count("deliveries_delivery")

    def test_has_some_of_everything_the_console_lists(self, ground: Ground) -> None:
        past = history(ground, 2000)

        ours = "WHERE webhook_id IN (SELECT id FROM bench.webhooks)"
        statuses = dict(past.rows(f"SELECT status, count(*) FROM deliveries_delivery {ours} GROUP BY 1"))
        assert {"succeeded", "failed", "held", "cancelled", "pending"} >= statuses.keys()
        assert min(statuses[status] for status in ("succeeded", "failed", "held")) > 0
        failures = f"SELECT sum(seen) FROM deliveries_failuregroup {ours}"
        assert past.rows(failures)[0][0] == statuses["failed"]
        assert all(console.pages(console.places(past)).values())

    def test_leaves_each_delivery_with_the_attempts_it_says(self, ground: Ground) -> None:
        past = history(ground, 2000)

        wrong = past.rows(
            "SELECT d.id FROM deliveries_delivery AS d JOIN bench.webhooks AS made ON made.id = d.webhook_id"
            " LEFT JOIN deliveries_attempt AS a ON a.delivery_id = d.id"
            " GROUP BY d.id HAVING d.attempts_made <> count(a.id)"
        )
        assert wrong == []


class TestTraffic:
    def test_tells_how_long_events_took(self, ground: Ground) -> None:
        traffic = ground.installation("traffic", WEBHOOKS_TRANSPORT=CURL)
        agents = traffic.listen(ground.receiver, 2)
        traffic.begin()

        numbers = flow(ground, traffic, agents, rate=20, seconds=1)

        assert numbers["events"] == ground.receiver.count() == 20
        assert 0 < numbers["p50"] <= numbers["p99"] < 10
        assert numbers["cpu web"] > 0
