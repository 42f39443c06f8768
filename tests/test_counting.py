import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import limits
import pytest
import redis
from django.test import Client
from limits.storage import memory

from deliveries import counting
from deliveries.counting import Count, Counter
from deliveries.identifiers import new_id
from tests.servers.process import free_port
from tests.servers.redis import Redis
from tests.waiting import SLOWNESS

WIDE = limits.parse("1000000/minute")
# A request must not be slower by more than this for Redis being away.
MOST = 0.1 * SLOWNESS
TIMEOUT = counting._TIMEOUT
SLOW = counting._SLOW


@pytest.fixture
def who() -> str:
    """Somebody nobody has counted yet."""
    return f"read:{new_id()}"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The clock of the counts in memory: set `now`, and it is that time. A window begins at 0."""
    clock = SimpleNamespace(now=6_000_000.0)
    monkeypatch.setattr(memory, "time", SimpleNamespace(time=lambda: clock.now))
    return clock


@pytest.fixture
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Redis is given as much time as in production."""
    monkeypatch.setattr(counting, "_TIMEOUT", TIMEOUT)
    monkeypatch.setattr(counting, "_SLOW", SLOW)


@pytest.fixture
def restless(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before each look at the counts in memory others get their turn."""
    look = memory.MemoryStorage._get_sliding_window_info

    def wait_and_look(*arguments: Any) -> Any:
        time.sleep(0.001)
        return look(*arguments)

    monkeypatch.setattr(memory.MemoryStorage, "_get_sliding_window_info", wait_and_look)


def at_once(counters: list[Counter], limit: limits.RateLimitItem, who: str, requests: int) -> list[Count]:
    """Return the counts of requests that come at once, in a thread each, to these counters in turn."""
    start = threading.Barrier(requests)

    def take(number: int) -> Count:
        start.wait()
        return counters[number % len(counters)].take(limit, who)

    with ThreadPoolExecutor(requests) as pool:
        return list(pool.map(take, range(requests)))


def allowed(counters: list[Counter], limit: limits.RateLimitItem, who: str, requests: int) -> int:
    """Return how many of such requests are allowed."""
    return sum(count.allowed for count in at_once(counters, limit, who, requests))


class TestMemory:
    def test_allows_as_many_as_the_limit_says(self, who: str) -> None:
        limit, counter = limits.parse("3/minute"), Counter("")

        counts = [counter.take(limit, who) for _ in range(5)]

        assert [count.allowed for count in counts] == [True, True, True, False, False]
        assert [count.remaining for count in counts] == [2, 1, 0, 0, 0]

    def test_counts_everybody_and_every_limit_apart(self, who: str) -> None:
        counter = Counter("")
        for limit in ("1/minute", "1/hour"):
            assert counter.take(limits.parse(limit), who).allowed
        assert counter.take(limits.parse("1/minute"), f"{who}0").allowed

    def test_counts_nothing_by_looking(self, who: str) -> None:
        limit, counter = limits.parse("2/minute"), Counter("")
        counter.take(limit, who)

        assert [counter.look(limit, who).remaining for _ in range(3)] == [1, 1, 1]

    @pytest.mark.usefixtures("restless")
    def test_allows_as_many_of_those_that_come_at_once(self, who: str) -> None:
        counts = at_once([Counter("")], limits.parse("50/hour"), who, 200)

        # Each knows its own place: counting is one act.
        assert sorted(count.remaining for count in counts if count.allowed) == list(range(50))

    def test_opens_no_gap_at_the_edge_of_a_window(self, who: str, clock: SimpleNamespace) -> None:
        limit, counter = limits.parse("50/minute"), Counter("")
        passed = 0
        for number in range(200):
            clock.now = 6_000_059.5 + number / 200
            passed += counter.take(limit, who).allowed

        assert 50 <= passed <= 52

    @pytest.mark.parametrize("pace", [0.4, 2.9, 3.1, 7.3, 13.7])
    def test_says_exactly_when_the_next_request_is_allowed(
        self, who: str, clock: SimpleNamespace, pace: float
    ) -> None:
        limit, counter = limits.parse("10/minute"), Counter("")
        refused = 0
        for _ in range(60):
            clock.now += pace
            count = counter.take(limit, who)
            if count.allowed:
                continue
            refused += 1
            asked = clock.now
            clock.now = asked + count.wait - 1.001
            assert counter.look(limit, who).remaining == 0 or count.wait == 1
            clock.now = asked + count.wait
            assert counter.look(limit, who).remaining >= 1
            assert counter.take(limit, who).allowed

        assert refused > 0 or pace > 6

    def test_knows_the_same_counter_in_every_thread(self) -> None:
        start, url = threading.Barrier(20), f"memory:{new_id()}"

        def one(_: int) -> Counter:
            start.wait()
            return counting.counter(url)

        with ThreadPoolExecutor(20) as pool:
            assert len(set(map(id, pool.map(one, range(20))))) == 1


@pytest.mark.postgresql
class TestRedis:
    @pytest.fixture
    def url(self, settings: Any) -> str:
        """The Redis of this run."""
        url: str = settings.REDIS_URL
        return url

    @pytest.fixture
    def client(self, url: str) -> Iterator[Any]:
        """Somebody who looks into it."""
        with redis.Redis.from_url(url) as client:
            yield client

    def test_counts_for_all_processes_together(self, url: str, who: str) -> None:
        limit = limits.parse("3/minute")

        counts = [counter.take(limit, who) for counter in [Counter(url) for _ in range(5)]]

        assert [count.allowed for count in counts] == [True, True, True, False, False]
        assert [count.remaining for count in counts] == [2, 1, 0, 0, 0]
        assert all(59 <= count.wait <= 60 for count in counts)

    def test_counts_nothing_by_looking(self, url: str, who: str) -> None:
        limit, counter = limits.parse("2/minute"), Counter(url)
        counter.take(limit, who)

        assert [counter.look(limit, who).remaining for _ in range(3)] == [1, 1, 1]

    def test_allows_as_many_of_those_that_come_at_once(self, url: str, who: str) -> None:
        assert allowed([Counter(url), Counter(url)], limits.parse("50/hour"), who, 200) == 50

    def test_opens_no_gap_at_the_edge_of_a_window(self, url: str, who: str, client: Any) -> None:
        limit, counter = limits.parse("50/hour"), Counter(url)
        passed = sum(counter.take(limit, who).allowed for _ in range(40))
        # As though the window had begun so long ago that it ends in 20 ms.
        client.pexpire(next(client.scan_iter(f"*{who}*")), 3_600_020)

        passed += allowed([counter, Counter(url)], limit, who, 200)

        assert 50 <= passed <= 52
        assert len(list(client.scan_iter(f"*{who}*"))) == 2  # the edge was passed

    def test_keeps_its_counts_under_one_name_and_not_for_long(self, url: str, who: str, client: Any) -> None:
        counter = Counter(url)
        counter.take(WIDE, who)
        key = next(client.scan_iter(f"*{who}*"))
        client.pexpire(key, 59_000)
        counter.take(WIDE, who)

        kept = {each.decode(): client.ttl(each) for each in client.scan_iter(f"*{who}*")}

        assert len(kept) == 2
        assert all(key.startswith("webhooks:limits:") for key in kept)
        assert all(0 < seconds <= 120 for seconds in kept.values())

    def test_asks_once_for_each_request(self, url: str, who: str, client: Any) -> None:
        # A Redis that has just begun knows no script.
        client.script_flush()
        counter = Counter(url)
        with client.monitor() as monitor:
            counter.take(WIDE, who)
            counter.take(WIDE, who)
            client.echo("end")
            commands = []
            for command in monitor.listen():
                if command["command"].startswith("ECHO"):
                    break
                if command["client_type"] != "lua" and who in command["command"]:
                    commands.append(command["command"].split()[0])

        assert commands == ["EVAL", "EVAL"]


class _Rude(socketserver.BaseRequestHandler):
    """Answers whatever is said with the same line."""

    line: bytes

    def handle(self) -> None:
        while self.request.recv(65_536):
            self.request.sendall(self.line)


@contextmanager
def answering(line: bytes) -> Iterator[str]:
    """A Redis that has but one thing to say."""
    handler = type("Handler", (_Rude,), {"line": line})
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"redis://127.0.0.1:{server.server_address[1]}/0"
        server.shutdown()


@dataclass
class Slow:
    """A Redis that answers after a time, and allows everything."""

    seconds: float
    url: str = ""
    commands: list[str] = field(default_factory=list)

    def answer(self, command: bytes) -> bytes:
        """Return the answer to a command, in a while."""
        self.commands.append(command.split(b"\r\n")[2].decode())
        time.sleep(self.seconds)
        counts = b"*2\r\n:1\r\n*4\r\n:0\r\n:0\r\n:1\r\n:60000\r\n"
        return counts if self.commands[-1] == "EVAL" else b"+OK\r\n"


@contextmanager
def slow(seconds: float, *, password: str = "", database: int = 0) -> Iterator[Slow]:
    """Such a Redis."""
    redis = Slow(seconds)

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with suppress(ConnectionError):
                while command := self.request.recv(65_536):
                    self.request.sendall(redis.answer(command))

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        redis.url = f"redis://{password}127.0.0.1:{server.server_address[1]}/{database}"
        yield redis
        server.shutdown()


@contextmanager
def stopped() -> Iterator[str]:
    """A Redis that is not there."""
    yield f"redis://127.0.0.1:{free_port()}/0"


@contextmanager
def silent() -> Iterator[str]:
    """A Redis that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0), backlog=256) as server:
        yield f"redis://127.0.0.1:{server.getsockname()[1]}/3"


@contextmanager
def swallowed() -> Iterator[str]:
    """A Redis no packet reaches: its queue of connections is full."""
    with ExitStack() as stack:
        server = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(8):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(server.getsockname())
        yield f"redis://127.0.0.1:{server.getsockname()[1]}/0"


AWAY: dict[str, Callable[[], Any]] = {
    "stopped": stopped,
    "silent": silent,
    "swallowed": swallowed,
    "full": lambda: answering(b"-OOM command not allowed when used memory > 'maxmemory'.\r\n"),
    "a replica": lambda: answering(b"-READONLY You can't write against a read only replica.\r\n"),
    "loading": lambda: answering(b"-LOADING Redis is loading the dataset in memory\r\n"),
    "forgetful": lambda: answering(b"-NOSCRIPT No matching script. Please use EVAL.\r\n"),
    "no Redis": lambda: answering(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
    "confused": lambda: answering(b":1\r\n"),
}


@pytest.fixture(params=AWAY)
def away(request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of a Redis that does not do what it should."""
    with AWAY[request.param]() as url:
        yield url


def timed(take: Callable[[], Count]) -> tuple[Count, float]:
    """Return a count and how many seconds it took."""
    began = time.monotonic()
    return take(), time.monotonic() - began


@pytest.mark.usefixtures("hurry")
class TestRedisAway:
    def test_is_no_reason_to_refuse_or_to_wait(self, away: str, who: str) -> None:
        counter = Counter(away)

        counts, seconds = zip(*[timed(lambda: counter.take(WIDE, who)) for _ in range(20)], strict=True)

        assert all(count.allowed for count in counts)
        assert max(seconds) < MOST
        assert sum(seconds[1:]) < MOST  # only the first asked

    @pytest.mark.parametrize("password", ["", ":secret@"])
    @pytest.mark.parametrize("database", [0, 3])
    @pytest.mark.parametrize("seconds", [0.02, 0.045])
    def test_is_no_reason_to_wait_where_it_is_slow(
        self, who: str, password: str, database: int, seconds: float
    ) -> None:
        with slow(seconds, password=password, database=database) as server:
            counter = Counter(server.url)
            counts, took = zip(*[timed(lambda: counter.take(WIDE, who)) for _ in range(5)], strict=True)

        assert all(count.allowed for count in counts)
        assert max(took) < MOST

    def test_is_found_by_one_request_where_all_its_answers_together_are_slow(
        self, who: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        with slow(0.02, password=":secret@", database=3) as server:
            counter = Counter(server.url)
            for _ in range(5):
                counter.take(WIDE, who)

        assert server.commands in (["AUTH", "SELECT", "EVAL"], ["AUTH", "SELECT"], ["AUTH"])
        assert len([record for record in caplog.records if "limits.no_redis" in str(vars(record))]) == 1

    @pytest.mark.parametrize("password", ["", ":secret@"])
    def test_is_waited_for_once_by_who_asks_for_all_limits(
        self, api: Client, settings: Any, password: str
    ) -> None:
        for name in ("READ", "PUBLISH", "MANAGE"):
            setattr(settings, f"WEBHOOKS_LIMIT_{name}", WIDE)
        with slow(0.045, password=password) as server:
            settings.REDIS_URL = server.url
            answer = api.get("/api/v1/whoami")

        assert len(answer.json()["limits"]) == 4
        assert len(server.commands) == 1

    def test_leaves_the_counting_to_this_process(self, away: str, who: str) -> None:
        limit, counter = limits.parse("3/minute"), Counter(away)

        assert sum(counter.take(limit, who).allowed for _ in range(5)) == 3

    def test_makes_no_queue_of_those_who_ask_at_once(self, who: str) -> None:
        with silent() as url:
            counter, began = Counter(url), time.monotonic()
            assert allowed([counter], WIDE, who, 150) == 150
            took = time.monotonic() - began

        assert took < 150 * TIMEOUT / 2

    def test_is_said_once(self, who: str, caplog: pytest.LogCaptureFixture) -> None:
        with silent() as url:
            allowed([Counter(url)], WIDE, who, 8)

        assert len([record for record in caplog.records if "limits.no_redis" in str(vars(record))]) == 1

    @pytest.mark.postgresql
    def test_ends(self, who: str, monkeypatch: pytest.MonkeyPatch) -> None:
        limit = limits.parse("3/minute")
        with Redis() as server:
            counter = Counter(server.url())
            counter.take(limit, who)
            server.kill()
            lonely = [counter.take(limit, who).allowed for _ in range(4)]
            server.start()
            still_alone = counter.take(limit, who).allowed
            monkeypatch.setattr(counter, "_left_alone_until", 0.0)
            together = [counter.take(limit, who).allowed for _ in range(4)]
            with redis.Redis.from_url(server.url()) as client:
                counted = [client.get(key) for key in client.scan_iter("webhooks:limits:*")]

        assert lonely == [True, True, True, False]
        assert still_alone is False
        assert together == [True, True, True, False]
        assert counted == [b"3"]

    def test_lasts_some_seconds(self, who: str, monkeypatch: pytest.MonkeyPatch) -> None:
        clock, asked = SimpleNamespace(now=0.0), []

        def fail(*arguments: object) -> None:
            asked.append(clock.now)
            raise ConnectionError

        monkeypatch.setattr(counting, "time", SimpleNamespace(monotonic=lambda: clock.now))
        counter = Counter("redis://127.0.0.1:1/0")
        monkeypatch.setattr(counter._redis, "take", fail)
        for clock.now in (100.0, 101.0, 104.9, 105.1, 106.0, 110.0, 110.2):
            assert counter.take(WIDE, who).allowed

        assert asked == [100.0, 105.1, 110.2]
