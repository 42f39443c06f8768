"""What is particular to the engine on requests: the hooks it hangs on, its pools, and its bad days."""

import errno
import inspect
import logging
import socket
import ssl
import threading
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta

import pytest
import urllib3.connection
import urllib3.connectionpool
from requests.adapters import HTTPAdapter

from deliveries import addresses
from deliveries.reasons import Reason
from deliveries.transport import (
    RequestsTransport,
    TransportError,
    connections,
    dialling,
    requests_engine,
    resolving,
)
from deliveries.transport.connections import (
    GuardedHTTPConnection,
    GuardedHTTPPool,
    GuardedHTTPSConnection,
    GuardedHTTPSPool,
)
from deliveries.transport.resolving import Resolver
from deliveries.transport.sockets import DeadlineSocket
from tests.transport import hostile
from tests.transport.conftest import (
    LARGE,
    PLENTY,
    PUBLIC,
    Certificates,
    Engine,
    MakeSender,
    Sender,
    a_request,
)
from tests.transport.hostile import OK, receiver
from tests.waiting import wait_until


@pytest.fixture
def engine() -> Engine:
    return RequestsTransport


class Clock:
    """Stands in for the `time` module where connections and answers grow old."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(connections, "time", clock)
    monkeypatch.setattr(resolving, "time", clock)
    return clock


class TestTheHooks:
    """Private names of other libraries that the guard is built on. When one is renamed, these fail."""

    @pytest.mark.parametrize(
        ("owner", "name"),
        [
            (urllib3.connection.HTTPConnection, "_new_conn"),
            (urllib3.connection.HTTPConnection, "request"),
            (urllib3.connection.HTTPConnection, "getresponse"),
            (urllib3.connection.HTTPSConnection, "connect"),
            (urllib3.connectionpool.HTTPConnectionPool, "_get_conn"),
            (urllib3.connectionpool.HTTPConnectionPool, "_put_conn"),
            (HTTPAdapter, "init_poolmanager"),
            (HTTPAdapter, "cert_verify"),
            (HTTPAdapter, "build_response"),
            (ssl.SSLSocket, "do_handshake"),
        ],
    )
    def test_exist(self, owner: type, name: str) -> None:
        assert inspect.isfunction(vars(owner)[name])

    @pytest.mark.parametrize("kind", [urllib3.connection.HTTPConnection, urllib3.connection.HTTPSConnection])
    def test_are_the_only_way_to_a_socket(self, kind: type) -> None:
        source = inspect.getsource(kind.connect)  # type: ignore[attr-defined]

        assert source.count("self._new_conn()") == 1
        assert "create_connection" not in source

    def test_are_in_use(self, sender: Sender, monkeypatch: pytest.MonkeyPatch) -> None:
        def no_socket(*args: object) -> None:
            raise TransportError(Reason.BLOCKED_ADDRESS)

        monkeypatch.setattr(dialling, "dial", no_socket)

        assert sender.fail(a_request("http://127.0.0.1:8000/")) is Reason.BLOCKED_ADDRESS
        assert sender.fail(a_request("https://127.0.0.1:8000/")) is Reason.BLOCKED_ADDRESS

    def test_connect_nowhere_without_a_call(self) -> None:
        for connection in (GuardedHTTPConnection("127.0.0.1", 1), GuardedHTTPSConnection("127.0.0.1", 1)):
            with pytest.raises(LookupError):
                connection.connect()

    def test_are_in_both_pools(self) -> None:
        assert GuardedHTTPPool.ConnectionCls is GuardedHTTPConnection
        assert GuardedHTTPSPool.ConnectionCls is GuardedHTTPSConnection


class TestDialling:
    def test_refuses_this_very_machine_under_a_public_address(
        self, make_sender: MakeSender, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # As if 127.0.0.1 were a public address, and ours.
        monkeypatch.setattr(addresses, "check_address", lambda address, policy: None)
        sender = make_sender(PUBLIC, lookup=lambda name: ["127.0.0.1"])
        with receiver(hostile.answering(OK)) as target:
            reason = sender.fail(a_request(target.url("own.example.com")))

            assert reason is Reason.BLOCKED_ADDRESS
            assert target.requests == []

    def test_refuses_a_peer_that_is_not_the_address_it_checked(
        self, sender: Sender, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(DeadlineSocket, "getpeername", lambda self: ("127.0.0.9", 80))
        with receiver(hostile.answering(OK)) as target:
            assert sender.fail(a_request(target.url())) is Reason.BLOCKED_ADDRESS
            assert target.requests == []

    def test_limits_the_time_for_one_address(self, sender: Sender, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(dialling, "CONNECT_LIMIT", 0.2)
        listener = socket.create_server(("127.0.0.1", 0), backlog=0)
        port = listener.getsockname()[1]
        # A listener whose queue is full drops whoever comes next.
        queued = [socket.socket() for _ in range(4)]
        for client in queued:
            client.setblocking(False)
            client.connect_ex(("127.0.0.1", port))

        (exchange,) = sender.send_all([a_request(f"http://127.0.0.1:{port}/")])

        assert getattr(exchange.outcome, "reason", None) is Reason.CONNECTION_TIMEOUT
        assert exchange.duration < PLENTY / 2
        for each in (listener, *queued):
            each.close()

    @pytest.mark.parametrize("encrypted", [False, True])
    def test_limits_the_connection_and_not_what_follows(
        self,
        make_sender: MakeSender,
        certificates: Certificates,
        monkeypatch: pytest.MonkeyPatch,
        *,
        encrypted: bool,
    ) -> None:
        monkeypatch.setattr(dialling, "CONNECT_LIMIT", 0.1)
        tls = certificates.valid("127.0.0.1") if encrypted else None
        sender = make_sender(ca_file=certificates.ca_file)

        with receiver(hostile.hesitating, tls=tls, handshake_delay=0.3) as target:
            assert sender.send(a_request(target.url(), body=LARGE)).body == b"ok"


class TestThePool:
    def test_does_not_reuse_what_was_idle_for_a_minute(self, sender: Sender, clock: Clock) -> None:
        with receiver(hostile.answering(OK)) as target:
            for idle, accepted in ((0, 1), (59, 1), (59, 1), (60, 2)):
                clock.now += idle
                sender.send(a_request(target.url()))
                assert target.accepted == accepted

    def test_does_not_reuse_what_was_opened_five_minutes_ago(self, sender: Sender, clock: Clock) -> None:
        with receiver(hostile.answering(OK)) as target:
            for accepted in (1, 1, 1, 1, 1, 1, 2):
                sender.send(a_request(target.url()))
                assert target.accepted == accepted
                clock.now += 50

    def test_gives_a_second_try_a_new_connection(
        self, make_sender: MakeSender, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        put = GuardedHTTPPool._put_conn
        # As if another thread were quicker to take the empty place that a failed connection leaves.
        monkeypatch.setattr(GuardedHTTPPool, "_put_conn", lambda pool, conn: conn and put(pool, conn))
        sender = make_sender(slots=4)
        with receiver(hostile.going_stale_together(4)) as target:
            sender.send_all([a_request(target.url())] * 4)

            assert sender.send(a_request(target.url())).body == b"ok"

    def test_closes_what_has_been_idle_for_too_long(
        self, sender: Sender, clock: Clock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        gone = threading.Event()

        def behave(conversation: hostile.Conversation) -> None:
            conversation.read_request()
            conversation.send(OK)
            with pytest.raises(EOFError):
                conversation.read_request()
            gone.set()

        monkeypatch.setattr(requests_engine, "SWEEP_INTERVAL", 0)
        with receiver(behave) as target:
            sender.send(a_request(target.url()))
            sender.transport.collect(timedelta(0))
            assert not gone.wait(0.05)
            clock.now += 60
            sender.transport.collect(timedelta(0))
            assert gone.wait(1)


class TestTheLog:
    def test_does_not_hear_of_receivers_and_their_urls(
        self, sender: Sender, caplog: pytest.LogCaptureFixture
    ) -> None:
        odd = b"HTTP/1.1 200 OK\r\nno header at all\r\nContent-Length: 0\r\n\r\n"
        with caplog.at_level(logging.DEBUG), receiver(hostile.answering_once(odd)) as target:
            sender.send(a_request(target.url(path="/?token=secret")))
            sender.fail(a_request("http://127.0.0.1:1025/?token=secret"))

        assert caplog.records == []


def no_thread(thread: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


class TestABadDay:
    def test_of_our_own_code_is_logged_and_comes_back(
        self, sender: Sender, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        def break_down(*args: object) -> None:
            raise RuntimeError("a bug")

        monkeypatch.setattr(dialling, "dial", break_down)

        with caplog.at_level(logging.ERROR):
            reasons = [sender.fail(a_request("http://127.0.0.1:8000/")) for _ in range(3)]

        assert reasons == [Reason.INVALID_RESPONSE] * 3
        assert [record.__dict__["event"] for record in caplog.records] == ["exchange.failed"] * 3
        assert "a bug" in caplog.text

    def test_takes_no_slot_where_not_even_the_log_has_memory_left(
        self, make_sender: MakeSender, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def no_memory(*args: object, **kwargs: object) -> None:
            raise MemoryError

        sender = make_sender(slots=1)
        monkeypatch.setattr(dialling, "dial", no_memory)
        monkeypatch.setattr(requests_engine.logger, "exception", no_memory)

        reasons = [sender.fail(a_request("http://127.0.0.1:8000/")) for _ in range(3)]

        assert reasons == [Reason.INVALID_RESPONSE] * 3

    def test_before_anything_was_sent_is_an_invalid_request(
        self, sender: Sender, caplog: pytest.LogCaptureFixture
    ) -> None:
        no_mapping = a_request("http://127.0.0.1:8000/", headers={"X": 1})  # type: ignore[dict-item]

        assert sender.fail(no_mapping) is Reason.INVALID_REQUEST
        assert len(caplog.records) == 1

    @pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM])
    @pytest.mark.parametrize("act", ["__init__", "connect"])
    def test_without_sockets_is_nobody_s_fault(
        self, sender: Sender, monkeypatch: pytest.MonkeyPatch, act: str, number: int
    ) -> None:
        def refuse(*args: object) -> None:
            raise OSError(number, "none left")

        monkeypatch.setattr(DeadlineSocket, act, refuse)

        assert sender.fail(a_request("http://127.0.0.1:8000/")) is Reason.NO_RESOURCES

    def test_does_not_connect_where_it_cannot_see_the_route(
        self, sender: Sender, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(*args: object) -> None:
            raise OSError(errno.EMFILE, "none left")

        with receiver(hostile.answering(OK)) as target, monkeypatch.context() as patches:
            patches.setattr(socket, "socket", refuse)
            assert sender.fail(a_request(target.url())) is Reason.NO_RESOURCES

    def test_without_threads_is_nobody_s_fault(
        self, make_sender: MakeSender, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        sender = make_sender(lookup=lambda name: ["127.0.0.1"])
        with monkeypatch.context() as patches, receiver(hostile.answering(OK)) as target:
            patches.setattr(threading.Thread, "start", no_thread)
            assert sender.fail(a_request(target.url("hooks.example.com"))) is Reason.NO_RESOURCES
            patches.undo()

            sender.send(a_request(target.url("hooks.example.com")))


class TestTheResolver:
    def test_asks_again_when_an_answer_is_old(self, clock: Clock) -> None:
        asked = []

        def lookup(name: str) -> Sequence[str]:
            asked.append(name)
            if name == "gone":
                raise OSError
            return ["192.0.2.1", "192.0.2.2", "192.0.2.1"]

        resolver = Resolver(lookup)

        for passed, expected in (
            (0, ["here", "gone"]),
            (4.9, []),
            (0.1, ["gone"]),
            (24.9, ["gone"]),
            (0.1, ["here"]),
        ):
            clock.now += passed
            asked.clear()
            assert resolver.addresses("here", within=1) == ("192.0.2.1", "192.0.2.2")
            with pytest.raises(TransportError):
                resolver.addresses("gone", within=1)
            assert asked == expected

    @pytest.mark.parametrize("answer", [[], [""], None])
    def test_takes_nonsense_for_a_failure(self, make_sender: MakeSender, answer: Sequence[str]) -> None:
        sender = make_sender(PUBLIC, lookup=lambda name: answer)

        assert sender.fail(a_request("http://hooks.example.com/")) in {
            Reason.DNS_FAILED,
            Reason.BLOCKED_ADDRESS,
        }

    def test_keeps_its_threads_bounded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(resolving, "MAX_LOOKUPS", 3)
        awake = threading.Event()
        asked = []

        def lookup(name: str) -> Sequence[str]:
            asked.append(name)
            awake.wait()
            return ["192.0.2.1"]

        resolver = Resolver(lookup)

        for number in range(10):
            with pytest.raises(TransportError) as failed:
                resolver.addresses(f"n{number}", within=0.01)
            assert failed.value.reason is Reason.DNS_FAILED

        def found() -> tuple[str, ...]:
            with suppress(TransportError):
                return resolver.addresses("n9", within=1)
            return ()

        wait_until(lambda: len(asked) == 3, what="three lookups")
        assert sorted(asked) == ["n0", "n1", "n2"]
        awake.set()
        wait_until(found, what="a lookup that ends")
        assert found() == ("192.0.2.1",)

    def test_forgets_the_oldest_names(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(resolving, "MAX_ANSWERS", 2)
        asked = []

        def lookup(name: str) -> Sequence[str]:
            asked.append(name)
            return ["192.0.2.1"]

        resolver = Resolver(lookup)
        for name in ("a", "b", "c", "c", "b", "a"):
            resolver.addresses(name, within=1)

        assert asked == ["a", "b", "c", "a"]

    def test_asks_the_operating_system_by_default(self) -> None:
        assert "127.0.0.1" in Resolver().addresses("localhost", within=3)
