"""What is particular to the engine on libcurl: its connections, its callbacks, and its one thread."""

import logging
import os
import re
import resource
import socket
import struct
import threading
import time
from datetime import timedelta
from uuid import UUID, uuid4

import pycurl
import pytest

from deliveries.reasons import Reason
from deliveries.transport import (
    Exchange,
    Reply,
    Timings,
    TransportError,
    curl_connections,
    curl_engine,
    curl_handles,
    curl_multi,
    curl_outcomes,
    dialling,
)
from deliveries.transport.curl_answers import Answer
from deliveries.transport.curl_connections import Arrivals, Connection, Connections, End
from deliveries.transport.curl_engine import CurlTransport
from deliveries.transport.curl_handles import Handle
from tests.transport import hostile
from tests.transport.conftest import (
    LARGE,
    LOOPBACK,
    NAME,
    PLENTY,
    SHORT,
    Certificates,
    Engine,
    MakeSender,
    Sender,
    Start,
    a_request,
)
from tests.transport.hostile import CHUNKED, OK, OK_HEAD
from tests.waiting import wait_until


@pytest.fixture
def engine() -> Engine:
    return CurlTransport


def head_of(request: bytes) -> str:
    return request.partition(b"\r\n\r\n")[0].decode()


class TestAConnection:
    @pytest.mark.parametrize("scheme", ["http", "https"])
    @pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
    def test_is_never_opened_by_libcurl(self, start: Start, scheme: str, host: str) -> None:
        target = start(hostile.answering(OK))
        handle = Handle("", Connections())
        handle.load(a_request(f"{scheme}://{host}:{target.port}/"), 0)

        with pytest.raises(pycurl.error) as refused:
            handle.easy.perform()

        assert refused.value.args[0] == pycurl.E_COULDNT_CONNECT
        assert (handle.needs_connection, target.accepted) == (True, 0)

    def test_that_nobody_has_checked_for_it_brings_no_request(
        self, sender: Sender, start: Start, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        target = start(hostile.answering(OK))
        monkeypatch.setattr(Connections, "at_end", lambda self, end: ())

        with caplog.at_level(logging.ERROR):
            assert sender.fail(a_request(target.url())) is Reason.INVALID_RESPONSE

        assert target.requests == []
        assert "nobody has checked" in caplog.text

    def test_of_a_name_is_not_used_for_another_name(self, make_sender: MakeSender, start: Start) -> None:
        sender = make_sender(slots=1, lookup=lambda name: ["127.0.0.1"])
        target = start(hostile.answering(OK))

        for host in (NAME, "other.example.com", "127.0.0.1", NAME):
            sender.send(a_request(target.url(host)))

        assert target.accepted == 3

    def test_has_a_limit_to_the_time_for_one_address(
        self, make_sender: MakeSender, start: Start, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(dialling, "CONNECT_LIMIT", 0.2)
        target = start(hostile.answering(OK))
        listener = socket.create_server(("127.0.0.9", target.port), backlog=0)
        # A listener whose queue is full drops whoever comes next.
        queued = [socket.socket() for _ in range(4)]
        for client in queued:
            client.setblocking(False)
            client.connect_ex(("127.0.0.9", target.port))
        sender = make_sender(lookup=lambda name: ["127.0.0.9", "127.0.0.1"])

        reason = sender.fail(a_request(f"http://127.0.0.9:{target.port}/"))
        reply = sender.send(a_request(target.url(NAME)))

        assert (reason, reply.body) == (Reason.CONNECTION_TIMEOUT, b"ok")
        for each in (listener, *queued):
            each.close()

    @pytest.mark.parametrize("limit", ["IDLE_LIMIT", "AGE_LIMIT"])
    def test_is_not_reused_when_it_is_old(
        self, make_sender: MakeSender, start: Start, monkeypatch: pytest.MonkeyPatch, limit: str
    ) -> None:
        monkeypatch.setattr(curl_handles, limit, 1.0)
        sender = make_sender(slots=1)
        target = start(hostile.answering(OK))

        sender.send(a_request(target.url()))
        time.sleep(2.1)  # libcurl's own clock, in whole seconds
        sender.send(a_request(target.url()))

        assert target.accepted == 2

    def test_is_closed_when_nothing_happens_for_too_long(
        self, sender: Sender, start: Start, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(curl_engine, "IDLE_LIMIT", 0.3)
        target = start(hostile.answering(OK))
        sender.send(a_request(target.url()))
        (conversation,) = target.conversations
        sender.transport.collect(timedelta(0))
        assert not conversation.over.is_set()

        # As a dispatcher with nothing to do: looking again and again is no use of connections.
        wait_until(
            lambda: sender.transport.collect(timedelta(seconds=0.02)) or conversation.over.is_set(),
            what="the end of an idle connection",
        )

        assert sender.send(a_request(target.url())).body == b"ok"

    def test_is_one_of_a_quarter_of_all_files(
        self, make_sender: MakeSender, start: Start, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(resource, "getrlimit", lambda which: (40, 40))
        sender = make_sender(slots=1, lookup=lambda name: ["127.0.0.1"])
        target = start(hostile.answering(OK))

        for number in range(15):
            sender.send(a_request(target.url(f"n{number}.example.com")))

        def kept() -> int:
            return sum(not conversation.over.is_set() for conversation in target.conversations)

        wait_until(lambda: kept() == 10, what="the end of the other connections")


class TestConnections:
    def test_with_the_same_port_on_our_side_are_told_apart(self) -> None:
        connections = Connections()
        ends = [End(0, f"http://{name}.example.com", "192.0.2.1", 40000) for name in ("first", "second")]
        for fd, end in enumerate(ends, start=7):
            connections.add(Connection(fd=fd, end=end, remote_address=end.origin))

        assert [connection.remote_address for end in ends for connection in connections.at_end(end)] == [
            end.origin for end in ends
        ]

    def test_that_cannot_be_told_apart_are_all_remembered(self) -> None:
        connections = Connections()
        end = End(0, "http://example.com", "192.0.2.1", 40000)
        first, second = (Connection(fd=fd, end=end, remote_address=f"203.0.113.{fd}") for fd in (7, 8))
        connections.add(first)
        connections.add(second)
        assert connections.at_end(end) == [first, second]

        # The descriptor of the second comes up again: the first is the one that is left.
        connections.add(Connection(fd=8, end=end._replace(port=40001), remote_address="203.0.113.8"))

        assert connections.at_end(end) == [first]

    def test_are_forgotten_when_their_descriptor_comes_up_again(self) -> None:
        connections = Connections()
        old, new = (End(0, "http://example.com", "192.0.2.1", port) for port in (40000, 40001))
        for end in (old, new):
            connections.add(Connection(fd=7, end=end, remote_address="203.0.113.1"))

        assert not connections.at_end(old)
        assert len(connections.at_end(new)) == 1

    def test_count_no_bytes_where_it_may_be_another(
        self, make_sender: MakeSender, start: Start, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        at_end = Connections.at_end
        monkeypatch.setattr(Connections, "at_end", lambda self, end: [*at_end(self, end)] * 2)
        sender = make_sender(slots=1)
        target = start(hostile.serving_once_then(hostile.answering_once(b"H")))
        sender.send(a_request(target.url()))

        # Nobody can say that a byte came, so it goes out once more, as over TLS.
        sender.send(a_request(target.url()))

        assert target.accepted == 2


class TestARequest:
    def test_has_no_header_that_nobody_asked_for(self, sender: Sender, start: Start) -> None:
        target = start(hostile.answering(OK))

        sender.send(a_request(target.url(), body=LARGE[: 2 * 1024 * 1024]))

        names = re.findall(r"^([^:\r\n]+):", head_of(target.requests[0]), re.MULTILINE)
        assert names == ["Host", "Accept-Encoding", "Content-Length"]

    def test_keeps_headers_that_libcurl_knows(self, sender: Sender, start: Start) -> None:
        target = start(hostile.answering(OK))
        headers = {
            "accept": "*/*",
            "Content-Type": "application/json",
            "User-Agent": "us/1",
            "Authorization": "Basic eA==",
            "Cookie": "a=b",
            "X-Empty": "",
            "X-Semicolon": "a;",
        }

        sender.send(a_request(target.url(), headers=headers))

        lines = head_of(target.requests[0]).split("\r\n")
        assert {f"{name}: {value}".rstrip() for name, value in headers.items()} <= {
            line.rstrip() for line in lines
        }

    def test_keeps_its_url(self, sender: Sender, start: Start) -> None:
        target = start(hostile.answering(OK))
        path = "/-._~!$&'()*+,;=:@//%2F%2E%2e/..a/?-._~!$&'()*+,;=:@/?%20&=..".replace("%2e", "%2E")

        sender.send(a_request(target.url(path=path)))

        assert head_of(target.requests[0]).split("\r\n")[0] == f"POST {path} HTTP/1.1"

    def test_leaves_nothing_of_itself_to_the_next(self, make_sender: MakeSender, start: Start) -> None:
        sender = make_sender(slots=1)
        target = start(hostile.answering(OK))
        plain = a_request(target.url(), method="GET", body=b"")

        sender.send(plain)
        sender.send(a_request(target.url(), method="PATCH", headers={"X-Secret": "s"}, body=b"secret"))
        sender.send(plain)

        first, _, last = target.requests
        assert first == last


class TestAnAnswer:
    def test_counts_that_came_in_time_when_nobody_collected(self, sender: Sender, start: Start) -> None:
        target = start(hostile.answering(OK))
        key = uuid4()
        sender.transport.submit(key, a_request(target.url(), timeout=SHORT))
        found: list[Exchange] = []
        while not target.requests:
            found += sender.transport.collect(timedelta(0))

        # The caller has something else to do, for longer than the deadline.
        time.sleep(SHORT.total_seconds() + 0.1)
        found += [] if found else sender.transport.collect(PLENTY)

        (exchange,) = found
        assert isinstance(exchange.outcome, Reply)

    @pytest.mark.parametrize("beginning", [b"H", OK_HEAD + b"X: y\r\n\r\n", CHUNKED + b"1\r\n"])
    def test_that_has_begun_is_not_asked_for_again_over_plain_http(
        self, make_sender: MakeSender, start: Start, beginning: bytes
    ) -> None:
        sender = make_sender(slots=1)
        target = start(hostile.serving_once_then(hostile.answering_once(beginning)))
        sender.send(a_request(target.url()))

        sender.send_all([a_request(target.url())])

        assert len(target.requests) == 2


class TestManyHeaders:
    def test_are_no_reason_to_refuse_an_answer(self, sender: Sender, start: Start) -> None:
        """http.client takes a hundred lines at most."""
        fields = b"".join(b"X-%d: y\r\n" % number for number in range(1000))
        target = start(hostile.answering(OK_HEAD + fields + b"Content-Length: 0\r\n\r\n"))

        reply = sender.send(a_request(target.url()))

        assert (reply.http_status, len(reply.headers)) == (200, 50)


class TestACallerWhoWasAway:
    """As a dispatcher is that waits for its database."""

    def test_blames_no_receiver_for_it(
        self, make_sender: MakeSender, start: Start, certificates: Certificates
    ) -> None:
        sender = make_sender(ca_file=certificates.ca_file)
        target = start(hostile.answering(OK), tls=certificates.valid("127.0.0.1"), handshake_delay=0.5)
        sender.transport.submit(uuid4(), a_request(target.url(), timeout=timedelta(seconds=1)))
        while not target.accepted:
            assert sender.transport.collect(timedelta(seconds=0.01)) == []

        time.sleep(1.5)

        (exchange,) = sender.transport.collect(PLENTY)
        assert isinstance(exchange.outcome, Reply), repr(exchange.outcome)

    def test_puts_off_no_deadline_for_ever(
        self, sender: Sender, start: Start, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(curl_engine, "ABSENCE", 0.2)
        monkeypatch.setattr(curl_engine, "MOST_ABSENCES", 0.5)
        target = start(hostile.silent)
        sender.transport.submit(uuid4(), a_request(target.url(), timeout=SHORT))

        started_at = time.monotonic()
        while not (found := sender.transport.collect(timedelta(seconds=0.01))):
            time.sleep(0.3)
            assert time.monotonic() - started_at < PLENTY.total_seconds()

        assert getattr(found[0].outcome, "reason", None) is Reason.RESPONSE_TOO_SLOW
        assert found[0].duration >= SHORT + timedelta(seconds=0.5)


class TestASecondTry:
    def test_on_a_kept_connection_has_no_part_of_the_first(
        self, make_sender: MakeSender, start: Start, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As when no file was left for a new connection, and another exchange gave its own back meanwhile."""
        target = start(hostile.answering(OK))
        outcomes = iter([lambda *args, **kwargs: TransportError(Reason.NO_RESOURCES), curl_outcomes.outcome])
        monkeypatch.setattr(curl_outcomes, "outcome", lambda *args, **kwargs: next(outcomes)(*args, **kwargs))
        sender = make_sender(lookup=lambda name: ["127.0.0.1"])

        (exchange,) = sender.send_all([a_request(target.url(NAME))])

        assert target.accepted == 1
        assert exchange.timings == Timings(first_byte=exchange.timings.first_byte)


class TestOneThread:
    def test_has_many_exchanges_under_way(self, make_sender: MakeSender, start: Start) -> None:
        together = threading.Barrier(60)

        def behave(conversation: hostile.Conversation) -> None:
            conversation.read_request()
            together.wait(timeout=PLENTY.total_seconds())
            conversation.send(OK)

        sender = make_sender(slots=60)
        target = start(behave)

        assert sender.reasons([a_request(target.url())] * 60) == [200] * 60

    def test_is_the_caller_s(self, sender: Sender, start: Start) -> None:
        target = start(hostile.silent)
        before = {thread.name for thread in threading.enumerate()}

        sender.transport.submit(uuid4(), a_request(target.url()))
        while not target.requests:
            sender.transport.collect(timedelta(0))

        others = {thread.name for thread in threading.enumerate()} - before
        assert {name for name in others if "_converse" not in name} == set()

    def test_keeps_no_more_under_way_than_it_has_slots_for(
        self, make_sender: MakeSender, start: Start
    ) -> None:
        sender = make_sender(slots=2)
        target = start(hostile.silent)

        started_at = time.monotonic()
        sender.send_all([a_request(target.url(), timeout=timedelta(seconds=0.2))] * 4)

        assert time.monotonic() - started_at >= 2 * 0.2
        assert target.accepted == 4


class TestABadDay:
    @pytest.mark.parametrize(
        "missing",
        [
            "pycurl.SOCKET_BAD",
            "deliveries.transport.curl_connections.Connections.add",
            "deliveries.transport.curl_connections.Connections.at_end",
            "deliveries.transport.curl_answers.Answer._end_headers",
            "deliveries.transport.curl_answers.KEEP_LIMIT",
        ],
        ids=["open", "socket", "ready", "header", "body"],
    )
    def test_of_our_own_code_is_logged_and_comes_back(
        self,
        make_sender: MakeSender,
        start: Start,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
        capfd: pytest.CaptureFixture[str],
        missing: str,
    ) -> None:
        # One callback of each kind stumbles over it.
        monkeypatch.delattr(missing)
        target = start(hostile.answering(OK))
        sender = make_sender(slots=1)

        with caplog.at_level(logging.ERROR):
            reasons = [sender.fail(a_request(target.url())) for _ in range(3)]

        assert reasons == [Reason.INVALID_RESPONSE] * 3
        assert [record.__dict__["event"] for record in caplog.records] == ["exchange.failed"] * 3
        # pycurl would print a traceback; ours are lines of JSON.
        assert {line[0] for line in capfd.readouterr().err.splitlines()} <= {"{"}

    def test_leaves_an_interrupt_to_the_caller_and_loses_no_exchange(
        self, sender: Sender, start: Start, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def interrupt(*args: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(Answer, "_end_headers", interrupt)
        target = start(hostile.answering(OK))
        keys = {uuid4() for _ in range(3)}
        for key in keys:
            sender.transport.submit(key, a_request(target.url()))

        found, interrupts = set[UUID](), 0
        while found != keys:
            try:
                exchanges = sender.transport.collect(PLENTY)
            except KeyboardInterrupt:
                interrupts += 1
            else:
                assert exchanges, "an exchange is lost"
                found |= {exchange.key for exchange in exchanges}

        assert interrupts >= 1

    def test_that_cannot_watch_a_connection_costs_its_exchange_alone(
        self,
        sender: Sender,
        start: Start,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        # What answers at once may be heard all the same, before anybody has to wait for it.
        silent, target = start(hostile.silent), start(hostile.answering(OK))
        with monkeypatch.context() as patches:
            patches.setattr(curl_multi, "_WATCHED", {})
            reason = sender.fail(a_request(silent.url(), timeout=SHORT))

        assert reason in {Reason.RESPONSE_TOO_SLOW, Reason.CONNECTION_TIMEOUT}
        assert "cannot be watched" in caplog.text
        assert sender.send(a_request(target.url())).body == b"ok"

    def test_before_anything_was_sent_is_an_invalid_request(
        self, sender: Sender, caplog: pytest.LogCaptureFixture
    ) -> None:
        no_mapping = a_request("http://127.0.0.1:8000/", headers={"X": 1})  # type: ignore[dict-item]

        assert sender.fail(no_mapping) is Reason.INVALID_REQUEST
        assert len(caplog.records) == 1

    def test_of_libcurl_is_logged_and_comes_back(
        self, start: Start, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        class Refusing(pycurl.CurlMulti):  # type: ignore[misc] # pycurl has no types
            refuses = True

            def add_handle(self, easy: pycurl.Curl) -> None:
                if self.refuses:
                    raise pycurl.error(pycurl.E_MULTI_OUT_OF_MEMORY, "no memory")
                super().add_handle(easy)

        monkeypatch.setattr(pycurl, "CurlMulti", Refusing)
        transport = CurlTransport(LOOPBACK)
        target = start(hostile.answering(OK))

        assert Sender(transport).fail(a_request(target.url())) is Reason.INVALID_RESPONSE
        assert [record.__dict__["event"] for record in caplog.records] == ["exchange.failed"]
        Refusing.refuses = False
        assert Sender(transport).send(a_request(target.url())).body == b"ok"
        transport.close()

    def test_without_memory_for_a_handle_is_nobody_s_fault(
        self, sender: Sender, start: Start, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def no_memory() -> None:
            raise pycurl.error(pycurl.E_FAILED_INIT, "no memory")

        target = start(hostile.answering(OK))
        with monkeypatch.context() as patches:
            patches.setattr(pycurl, "Curl", no_memory)
            assert sender.fail(a_request(target.url())) is Reason.NO_RESOURCES

        sender.send(a_request(target.url()))

    def test_leaves_no_descriptor_behind(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            client = socket.create_connection(listener.getsockname())
            end = End(0, "http://127.0.0.1", "127.0.0.1", 1025)
            arrivals = Arrivals(Connection(fd=client.fileno(), end=end, remote_address="127.0.0.1"))
            before = len(os.listdir("/proc/self/fd"))
            # More than the kernel is willing to tell.
            monkeypatch.setattr(curl_connections, "_BYTES_RECEIVED", struct.Struct("=2048xQ"))

            with pytest.raises(OSError, match="buflen"):
                arrivals.stop()

            assert len(os.listdir("/proc/self/fd")) == before - 1
            client.close()

    def test_without_threads_is_nobody_s_fault(
        self, make_sender: MakeSender, monkeypatch: pytest.MonkeyPatch, start: Start
    ) -> None:
        def no_thread(thread: threading.Thread) -> None:
            raise RuntimeError("can't start new thread")

        target = start(hostile.answering(OK))
        sender = make_sender(lookup=lambda name: ["127.0.0.1"])
        with monkeypatch.context() as patches:
            patches.setattr(threading.Thread, "start", no_thread)
            assert sender.fail(a_request(target.url(NAME))) is Reason.NO_RESOURCES

        sender.send(a_request(target.url(NAME)))


class TestTheLog:
    def test_does_not_hear_of_receivers_and_their_urls(
        self, sender: Sender, start: Start, caplog: pytest.LogCaptureFixture
    ) -> None:
        target = start(hostile.answering_once(b"no HTTP at all\r\n\r\n"))
        with caplog.at_level(logging.DEBUG):
            sender.fail(a_request(target.url(path="/?token=secret")))
            sender.fail(a_request("http://127.0.0.1:1025/?token=secret"))

        assert caplog.records == []
