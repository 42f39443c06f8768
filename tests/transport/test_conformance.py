"""What every engine must do, against a receiver that does its worst. A new engine is one line in conftest.

Its neighbours test_slowness, test_floods, test_endings, test_names and test_tls do so for one kind of trouble
each.
"""

import errno
import gc
import os
import resource
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import timedelta
from http import HTTPStatus
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from uuid import UUID, uuid4

import pytest

import deliveries.addresses
from deliveries.addresses import AddressPolicy, Origin
from deliveries.reasons import Reason
from deliveries.transport import KEEP_LIMIT, Reply, Request, Transport, TransportError
from deliveries.transport.resolving import system_lookup
from tests.transport import elsewhere, hostile
from tests.transport.conftest import (
    LARGE,
    LONGER,
    NAME,
    PLENTY,
    PUBLIC,
    SHORT,
    TOLERANCE,
    Certificates,
    MakeSender,
    Sender,
    Start,
    a_request,
    at_loopback,
)
from tests.transport.hostile import CHUNKED, HUGE, OK, OK_HEAD, REDIRECT, Behaviour
from tests.waiting import wait_until


def networks(*texts: str) -> tuple[IPv4Network | IPv6Network, ...]:
    return tuple(ip_network(text) for text in texts)


class TestAnExchange:
    def test_sends_the_request_as_it_stands_and_adds_only_what_frames_it(
        self, sender: Sender, start: Start
    ) -> None:
        target = start(hostile.echoing)
        url = target.url(path="/a%20b/?c=%5B%5D&d=1?2")

        reply = sender.send(a_request(url, headers={"X-First": "1", "user-agent": "us/1"}, body=b'{"a": 1}'))

        head, _, body = reply.body.partition(b"\r\n\r\n")
        request_line, *fields = head.split(b"\r\n")
        assert request_line == b"POST /a%20b/?c=%5B%5D&d=1?2 HTTP/1.1"
        assert {field.lower() for field in fields} == {
            b"host: 127.0.0.1:%d" % target.port,
            b"x-first: 1",
            b"user-agent: us/1",
            b"accept-encoding: identity",
            b"content-length: 8",
        }
        assert body == b'{"a": 1}'

    @pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "GET"])
    def test_keeps_the_method(self, sender: Sender, start: Start, method: str) -> None:
        reply = sender.send(a_request(start(hostile.echoing).url(), method=method, body=b""))

        assert reply.body.startswith(method.encode() + b" /hook HTTP/1.1\r\n")
        assert (b"content-length: 0" in reply.body.lower()) == (method != "GET")

    def test_sends_no_user_agent_of_its_own(self, sender: Sender, start: Start) -> None:
        assert b"user-agent" not in sender.send(a_request(start(hostile.echoing).url())).body.lower()

    @pytest.mark.parametrize("status", [200, 204, 304, 307, 404, 410, 429, 500, 503, 599])
    def test_returns_every_status(self, sender: Sender, start: Start, status: int) -> None:
        answer = b"HTTP/1.1 %d Whatever\r\nContent-Length: 0\r\nRetry-After: 1\r\n\r\n" % status

        reply = sender.send(a_request(start(hostile.answering(answer)).url()))

        assert reply == Reply(
            http_status=status, headers={"content-length": "0", "retry-after": "1"}, body=b""
        )

    def test_skips_interim_answers(self, sender: Sender, start: Start) -> None:
        interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
        target = start(hostile.answering(interim + OK))

        replies = [sender.send(a_request(target.url())) for _ in range(3)]

        assert [(reply.http_status, reply.body, dict(reply.headers)) for reply in replies] == [
            (HTTPStatus.OK, b"ok", {"content-length": "2"})
        ] * 3

    def test_works_over_ipv6(self, sender: Sender, start: Start) -> None:
        target = start(hostile.echoing, address="::1")

        reply = sender.send(a_request(target.url()))

        assert b"Host: [::1]:%d\r\n" % target.port in reply.body

    def test_measures_its_duration(self, sender: Sender, start: Start) -> None:
        slow = a_request(start(hostile.silent).url(), timeout=timedelta(seconds=0.3))

        (exchange,) = sender.send_all([slow])

        assert timedelta(seconds=0.3) <= exchange.duration < timedelta(seconds=0.3) + TOLERANCE


class TestTheDeadline:
    @pytest.mark.parametrize("behaviour", [hostile.not_reading, hostile.trickling_handshake])
    def test_covers_the_tls_handshake(
        self, make_sender: MakeSender, start: Start, certificates: Certificates, behaviour: Behaviour
    ) -> None:
        url = start(behaviour).url().replace("http://", "https://")

        (exchange,) = make_sender(ca_file=certificates.ca_file).send_all([a_request(url, timeout=SHORT)])

        assert getattr(exchange.outcome, "reason", None) is Reason.CONNECTION_TIMEOUT
        assert SHORT <= exchange.duration <= SHORT + TOLERANCE

    @pytest.mark.parametrize("behaviour", [hostile.not_reading, hostile.sipping])
    @pytest.mark.parametrize("encrypted", [False, True])
    def test_covers_sending(
        self,
        make_sender: MakeSender,
        start: Start,
        certificates: Certificates,
        behaviour: Behaviour,
        *,
        encrypted: bool,
    ) -> None:
        target = start(behaviour, tls=certificates.valid("127.0.0.1") if encrypted else None)

        (exchange,) = make_sender(ca_file=certificates.ca_file).send_all(
            [a_request(target.url(), body=LARGE, timeout=SHORT)]
        )

        assert getattr(exchange.outcome, "reason", None) is Reason.RESPONSE_TOO_SLOW
        assert SHORT <= exchange.duration <= SHORT + TOLERANCE

    def test_starts_anew_with_every_exchange_on_a_kept_connection(
        self, make_sender: MakeSender, start: Start
    ) -> None:
        sender = make_sender(slots=1)
        target = start(hostile.answering(OK))

        for _ in range(3):
            time.sleep(0.4)
            sender.send(a_request(target.url(), timeout=timedelta(seconds=1)))

        assert target.accepted == 1

    def test_is_kept_on_a_reused_connection(self, make_sender: MakeSender, start: Start) -> None:
        sender = make_sender(slots=1)
        target = start(hostile.serving_once_then(hostile.silent))
        sender.send(a_request(target.url()))

        (exchange,) = sender.send_all([a_request(target.url(), timeout=SHORT)])

        assert getattr(exchange.outcome, "reason", None) is Reason.RESPONSE_TOO_SLOW
        assert SHORT <= exchange.duration <= SHORT + TOLERANCE
        assert len(target.requests) == 2


class TestResolving:
    def test_a_name_that_does_not_exist_fails(self, make_sender: MakeSender) -> None:
        assert make_sender().fail(a_request(f"http://{NAME}/")) is Reason.DNS_FAILED

    def test_a_name_server_that_hangs_costs_its_own_names_only(
        self, make_sender: MakeSender, start: Start
    ) -> None:
        awake = threading.Event()
        lookups = []

        def lookup(name: str) -> Sequence[str]:
            lookups.append(name)
            if name != NAME:
                awake.wait()
            return ["127.0.0.1"]

        sender = make_sender(slots=32, lookup=lookup)
        target = start(hostile.answering(OK))
        hanging = [f"http://{'abcd'[number % 4]}.example.com/" for number in range(24)]

        started_at = time.monotonic()
        for url in hanging:
            sender.transport.submit(uuid4(), a_request(url, timeout=LONGER))
        healthy_key = uuid4()
        sender.transport.submit(healthy_key, a_request(target.url(NAME), timeout=LONGER))
        (first, *_) = sender.transport.collect(PLENTY)
        failed = 0
        while failed < len(hanging):
            failed += len(sender.transport.collect(PLENTY))
        awake.set()

        assert first.key == healthy_key
        assert isinstance(first.outcome, Reply)
        # One name after the other would take four times that.
        assert time.monotonic() - started_at < 3 * LONGER.total_seconds()
        # However many exchanges wait for a name, it is looked up once.
        assert sorted(lookups) == ["a.example.com", "b.example.com", "c.example.com", "d.example.com", NAME]

    def test_remembers_an_answer(self, make_sender: MakeSender, start: Start) -> None:
        lookups = []

        def lookup(name: str) -> Sequence[str]:
            lookups.append(name)
            return ["127.0.0.1"]

        sender = make_sender(lookup=lookup)
        target = start(hostile.answering_once(OK))

        for _ in range(3):
            sender.send(a_request(target.url(NAME)))

        assert target.accepted == 3
        assert lookups == [NAME]

    def test_tries_the_next_address_when_one_refuses(self, make_sender: MakeSender, start: Start) -> None:
        target = start(hostile.answering(OK))

        reply = make_sender(lookup=lambda name: ["127.0.0.2", "127.0.0.1"]).send(a_request(target.url(NAME)))

        assert reply.body == b"ok"

    @pytest.mark.parametrize(("before", "outcome"), [(3, 200), (4, Reason.CONNECTION_REFUSED)])
    def test_tries_four_addresses_at_most(
        self, make_sender: MakeSender, start: Start, before: int, outcome: Reason | int
    ) -> None:
        """Each may take seconds, and how many there are is up to whoever owns the name."""
        target = start(hostile.answering(OK))
        found = [f"127.0.1.{number}" for number in range(before)] + ["127.0.0.1"]

        sender = make_sender(lookup=lambda name: found)

        assert sender.reasons([a_request(target.url(NAME))]) == [outcome]

    @pytest.mark.parametrize(("count", "outcome"), [(64, 200), (65, Reason.DNS_FAILED)])
    def test_takes_more_addresses_than_anybody_has_for_none(
        self, make_sender: MakeSender, start: Start, count: int, outcome: Reason | int
    ) -> None:
        target = start(hostile.answering(OK))
        found = [f"127.0.0.{number}" for number in range(1, count + 1)]

        sender = make_sender(lookup=lambda name: found + found)

        assert sender.reasons([a_request(target.url(NAME))]) == [outcome]


class TestTheGuard:
    @pytest.mark.parametrize(
        "host",
        ["127.0.0.1", "0.0.0.0", "127.1", "2130706433", "0x7f.1", "[::1]", "[::ffff:127.0.0.1]", "localhost"],
    )
    def test_lets_no_spelling_of_this_machine_pass(
        self, make_sender: MakeSender, start: Start, host: str
    ) -> None:
        target = start(hostile.answering(OK))
        sender = make_sender(PUBLIC, lookup=at_loopback)

        reason = sender.fail(a_request(f"http://{host}:{target.port}/"))

        assert reason in {Reason.BLOCKED_ADDRESS, Reason.INVALID_REQUEST}
        assert target.accepted == 0

    @pytest.mark.parametrize(
        "addresses",
        [
            ["127.0.0.1"],
            ["93.184.216.34", "127.0.0.1"],
            ["127.0.0.1", "93.184.216.34"],
            ["2606:2800:220:1::1", "::ffff:127.0.0.1"],
            ["fe80::1%lo"],
            [*(f"93.184.216.{number}" for number in range(30)), "10.0.0.1"],
            ["not an address"],
        ],
    )
    def test_lets_a_name_pass_only_if_all_its_addresses_do(
        self, make_sender: MakeSender, start: Start, addresses: Sequence[str]
    ) -> None:
        target = start(hostile.answering(OK))
        sender = make_sender(PUBLIC, lookup=lambda name: addresses)

        assert sender.fail(a_request(target.url(NAME))) is Reason.BLOCKED_ADDRESS
        assert target.accepted == 0

    def test_is_not_fooled_by_a_name_that_changes_its_answer(
        self, make_sender: MakeSender, start: Start
    ) -> None:
        target = start(hostile.answering(OK))
        answers = iter([["192.0.2.1"], ["127.0.0.1"]] * 50)
        # 192.0.2.1 leads nowhere and counts as public here, as the first answer of a rebinding name does.
        policy = AddressPolicy(
            allowed_networks=networks("192.0.2.1/32"),
            require_https=False,
        )
        sender = make_sender(policy, slots=32, lookup=lambda name: next(answers))
        urls = [f"http://n{number}.example.com:{target.port}/" for number in range(32)]

        exchanges = sender.send_all([a_request(url, timeout=SHORT) for url in urls])

        reasons = {getattr(exchange.outcome, "reason", None) for exchange in exchanges}
        assert reasons <= {Reason.BLOCKED_ADDRESS, Reason.CONNECTION_TIMEOUT, Reason.CONNECTION_REFUSED}
        assert Reason.BLOCKED_ADDRESS in reasons
        assert target.accepted == 0

    @pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
    def test_tells_nobody_which_ports_are_open_at_an_address_of_our_own(
        self, make_sender: MakeSender, start: Start, monkeypatch: pytest.MonkeyPatch, address: str
    ) -> None:
        # Loopback stands for the public address this machine may have, which no table knows.
        monkeypatch.setattr(deliveries.addresses, "_is_denied", lambda address: False)
        target, closed = (start(hostile.answering(OK), address=address) for _ in range(2))
        closed.stop()
        sender = make_sender(PUBLIC, lookup=lambda name: [address])

        reasons = sender.reasons([a_request(each.url(NAME)) for each in (target, closed)])

        assert reasons == [Reason.BLOCKED_ADDRESS] * 2
        # Not even a connection that is closed at once: a service may act on less.
        assert target.accepted == 0

    def test_connects_to_the_address_that_was_checked(self, make_sender: MakeSender, start: Start) -> None:
        target = start(hostile.echoing)
        lookups = iter([["127.0.0.1"]])
        # A second lookup, by whoever, would find the list exhausted.
        sender = make_sender(lookup=lambda name: next(lookups))

        reply = sender.send(a_request(target.url(NAME)))

        assert b"Host: %b:%d\r\n" % (NAME.encode(), target.port) in reply.body

    def test_opens_the_hole_for_the_own_receiver_only(self, make_sender: MakeSender, start: Start) -> None:
        own, other = start(hostile.answering(OK)), start(hostile.answering(OK))
        origin = Origin(host="127.0.0.1", port=own.port, path_prefix="/demo/")
        sender = make_sender(AddressPolicy(own_receiver=origin), slots=1)

        inside = [sender.send(a_request(own.url(path="/demo/receiver"))) for _ in range(2)]
        # The open connection of the inside must not carry the outside.
        outside = sender.fail(a_request(own.url(path="/admin/")))
        beside = sender.fail(a_request(other.url(path="/demo/receiver")))

        assert [reply.body for reply in inside] == [b"ok", b"ok"]
        assert {outside, beside} <= {Reason.BLOCKED_ADDRESS, Reason.INVALID_REQUEST}
        assert (own.accepted, len(own.requests), other.accepted) == (1, 2, 0)

    def test_keeps_the_hole_to_loopback_whatever_its_name_resolves_to(self, make_sender: MakeSender) -> None:
        origin = Origin(host="localhost", port=8000, path_prefix="/demo/")
        sender = make_sender(AddressPolicy(own_receiver=origin), lookup=lambda name: ["10.0.0.1"])

        assert sender.fail(a_request("http://localhost:8000/demo/")) is Reason.BLOCKED_ADDRESS

    def test_keeps_a_connection_of_the_hole_from_urls_beside_it(
        self, make_sender: MakeSender, start: Start
    ) -> None:
        own = start(hostile.answering(OK))
        origin = Origin(host=NAME, port=own.port, path_prefix="/demo/")
        policy = AddressPolicy(own_receiver=origin, require_https=False)
        sender = make_sender(policy, slots=1, lookup=at_loopback)

        sender.send(a_request(own.url(NAME, "/demo/")))

        # The text of this URL is harmless, so only the connection can tell.
        assert sender.fail(a_request(own.url(NAME, "/admin/"))) is Reason.BLOCKED_ADDRESS
        assert len(own.requests) == 1


class TestRedirects:
    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    def test_are_answers_like_any_other(self, sender: Sender, start: Start, status: int) -> None:
        another = start(hostile.answering(OK))
        answer = b"HTTP/1.1 %d Moved\r\nLocation: %b\r\nRefresh: 0\r\nContent-Length: 2\r\n\r\nno" % (
            status,
            another.url().encode(),
        )

        reply = sender.send(a_request(start(hostile.answering(answer)).url()))

        assert (reply.http_status, reply.body) == (status, b"no")
        assert reply.headers["location"] == another.url()
        assert another.accepted == 0

    @pytest.mark.parametrize("location", [b"http://[::1", b"file:///etc/passwd", b"//\xff\xfe", b"", b"\x07"])
    def test_may_point_nowhere(self, sender: Sender, start: Start, location: bytes) -> None:
        answer = REDIRECT % location + b"Content-Length: 0\r\n\r\n"

        assert sender.send(a_request(start(hostile.answering(answer)).url())).http_status == 302


class TestTheBody:
    @pytest.mark.parametrize("size", [0, 1, KEEP_LIMIT - 1, KEEP_LIMIT, KEEP_LIMIT + 1, 64 * 1024, 100_000])
    def test_is_cut_to_what_we_keep(self, sender: Sender, start: Start, size: int) -> None:
        body = bytes(number % 251 for number in range(size))
        answer = OK_HEAD + b"Content-Length: %d\r\n\r\n" % size + body

        assert sender.send(a_request(start(hostile.answering(answer)).url())).body == body[:KEEP_LIMIT]

    def test_comes_as_it_is(self, sender: Sender, start: Start) -> None:
        body = b"\x00\xff\xed\xa0\x80\x1f\x8b plain \xc3"
        answer = OK_HEAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body) + body

        assert sender.send(a_request(start(hostile.answering(answer)).url())).body == body

    def test_may_be_chunked(self, make_sender: MakeSender, start: Start) -> None:
        sender = make_sender(slots=1)
        target = start(hostile.answering(CHUNKED + b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nTrailer: 1\r\n\r\n"))

        assert [sender.send(a_request(target.url())).body for _ in range(2)] == [b"abcde"] * 2
        assert target.accepted == 1

    @pytest.mark.parametrize("body", [b"", b"ok", bytes(100_000)], ids=len)
    def test_ends_at_its_length_though_an_obsolete_coding_is_named(
        self, sender: Sender, start: Start, body: bytes
    ) -> None:
        fields = b"Transfer-Encoding: identity\r\nContent-Length: %d\r\n\r\n" % len(body)
        target = start(hostile.answering(OK_HEAD + fields + body + b"stray"))

        reply = sender.send(a_request(target.url(), timeout=LONGER))

        assert reply.body == body[:KEEP_LIMIT]

    @pytest.mark.parametrize("status", [204, 304])
    @pytest.mark.parametrize(
        "fields",
        [
            b"Transfer-Encoding: chunked\r\n",
            b"Transfer-Encoding: gzip, chunked\r\n",
            b"Content-Length: 2\r\n",
            b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n",
            b"Content-Length: 1\r\nContent-Length: 2\r\n",
            b"Content-Length: much\r\n",
        ],
    )
    @pytest.mark.parametrize("rest", [b"", b"ok", b"2\r\nok\r\n0\r\n\r\n"], ids=["no", "plain", "chunked"])
    def test_is_not_waited_for_where_the_status_has_none(
        self, make_sender: MakeSender, start: Start, status: int, fields: bytes, rest: bytes
    ) -> None:
        sender = make_sender(slots=1)
        target = start(hostile.answering(b"HTTP/1.1 %d Whatever\r\n%b\r\n%b" % (status, fields, rest)))

        replies = [sender.send(a_request(target.url())) for _ in range(2)]

        assert [(reply.http_status, reply.body) for reply in replies] == [(status, b"")] * 2
        # Nobody can know whether the body comes after all, to be taken for the next answer.
        assert target.accepted == 2

    @pytest.mark.parametrize("fields", [b"", b"Content-Length: 0\r\n", b"Content-Length: 0\r\n" * 2])
    def test_that_is_none_and_says_so_ends_no_connection(
        self, make_sender: MakeSender, start: Start, fields: bytes
    ) -> None:
        sender = make_sender(slots=1)
        target = start(hostile.answering(b"HTTP/1.1 204 No Content\r\n%b\r\n" % fields))

        assert [sender.send(a_request(target.url())).http_status for _ in range(2)] == [204, 204]
        assert target.accepted == 1

    @pytest.mark.parametrize(
        ("answer", "reason"),
        [
            (HUGE + b"only this", Reason.CONNECTION_CLOSED),
            (CHUNKED + b"a\r\nonly", Reason.CONNECTION_CLOSED),
            (CHUNKED + b"2\r\nok\r\n", Reason.CONNECTION_CLOSED),
        ],
    )
    def test_that_ends_early_is_no_answer(
        self, sender: Sender, start: Start, answer: bytes, reason: Reason
    ) -> None:
        assert sender.fail(a_request(start(hostile.answering_once(answer)).url())) is reason

    def test_that_is_garbage_is_no_answer(self, sender: Sender, start: Start) -> None:
        target = start(hostile.answering(CHUNKED + b"what?\r\n\r\n"))

        assert sender.fail(a_request(target.url())) is Reason.INVALID_RESPONSE


class TestHeaders:
    def test_are_safe_to_store(self, sender: Sender, start: Start) -> None:
        nasty = b"X-Bytes: \xff\xfe\r\nX-Surrogate: \xed\xa0\x80\r\nX-Bell: \x07\r\n"
        nice = "X-Utf8:  caf\u00e9 \u00c5 \r\nX-Twice: 1\r\nx-twice: 2\r\n".encode()
        target = start(hostile.answering(OK_HEAD + nasty + nice + b"Content-Length: 0\r\n\r\n"))

        headers = sender.send(a_request(target.url())).headers

        assert headers["x-utf8"] == "caf\u00e9 \u00c5"
        assert headers["x-twice"] == "1, 2"
        stored = "".join([*headers.keys(), *headers.values()])
        assert stored.isprintable()
        assert stored.encode()

    def test_with_a_nul_are_refused_or_made_safe(self, sender: Sender, start: Start) -> None:
        target = start(hostile.answering(OK_HEAD + b"X-Nul: a\x00b\r\nContent-Length: 0\r\n\r\n"))

        (exchange,) = sender.send_all([a_request(target.url())])

        # RFC 9110 section 5.5 has a recipient do either.
        if isinstance(exchange.outcome, Reply):
            assert exchange.outcome.headers["x-nul"] == "a\ufffdb"
        else:
            assert exchange.outcome.reason is Reason.INVALID_RESPONSE

    def test_are_kept_up_to_a_number_and_a_size(self, sender: Sender, start: Start) -> None:
        many = b"".join(b"X-%d: %b\r\n" % (number, b"v" * 10) for number in range(90))
        large = b"".join(b"X-%d: %b\r\n" % (number, b"v" * 900) for number in range(20))
        end = b"Content-Length: 0\r\n\r\n"
        replies = [
            sender.send(a_request(start(hostile.answering(OK_HEAD + fields + end)).url()))
            for fields in (many, large)
        ]

        assert len(replies[0].headers) == 50
        assert 3000 < sum(len(name) + len(value) for name, value in replies[1].headers.items()) <= 4096


class TestABrokenAnswer:
    @pytest.mark.parametrize(
        ("behaviour", "reason"),
        [
            (hostile.resetting, Reason.CONNECTION_CLOSED),
            (hostile.hanging_up, Reason.CONNECTION_CLOSED),
            (hostile.answering_once(b"HTTP/1.1 200 OK\r\nContent-"), Reason.CONNECTION_CLOSED),
            (hostile.answering_once(OK_HEAD), Reason.CONNECTION_CLOSED),
            (hostile.answering_once(b"HTTP/1.1 2\r\n"), Reason.INVALID_RESPONSE),
            (hostile.answering(b"SSH-2.0-OpenSSH_9.9\r\n"), Reason.INVALID_RESPONSE),
            (hostile.answering(b"HTTP/1.1 abc Nope\r\n\r\n"), Reason.INVALID_RESPONSE),
            (hostile.answering(b"HTTP/3.7 200 OK\r\n\r\n"), Reason.INVALID_RESPONSE),
            (hostile.answering(b"\x00\xff" * 100 + b"\r\n\r\n"), Reason.INVALID_RESPONSE),
            (
                hostile.answering(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"),
                Reason.INVALID_RESPONSE,
            ),
            (
                hostile.answering(OK_HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nok"),
                Reason.INVALID_RESPONSE,
            ),
        ],
    )
    def test_has_its_reason(self, sender: Sender, start: Start, behaviour: Behaviour, reason: Reason) -> None:
        assert sender.fail(a_request(start(behaviour).url())) is reason

    def test_from_a_port_nobody_listens_on_is_refused(self, sender: Sender, start: Start) -> None:
        target = start(hostile.answering(OK))
        target.stop()

        assert sender.fail(a_request(target.url())) is Reason.CONNECTION_REFUSED

    def test_from_an_address_that_leads_nowhere_runs_into_the_deadline(self, make_sender: MakeSender) -> None:
        # TEST-NET-1 has no hosts (RFC 5737); networks drop or reject what goes there.
        sender = make_sender(AddressPolicy(allowed_networks=networks("192.0.2.0/24"), require_https=False))

        reason = sender.fail(a_request("http://192.0.2.1/", timeout=SHORT))

        assert reason in {Reason.CONNECTION_TIMEOUT, Reason.CONNECTION_REFUSED}


class TestARequestThatCannotBeSent:
    @pytest.mark.parametrize(
        "changes",
        [
            {"url": "http://127.0.0.1:8080"},  # not as `normalise_url` returns it
            {"url": "HTTP://127.0.0.1:8080/"},
            {"url": "ftp://127.0.0.1/"},
            {"url": "http://127.0.0.1\\@example.com/"},
            {"url": "http://127.0.0.1:22/"},
            {"url": ""},
            {"method": "GET / HTTP/1.1\r\nX: y\r\n\r\n"},
            {"method": ""},
            {"headers": {"X": "a\r\nY: b"}},
            {"headers": {"X": "a\nb"}},
            {"headers": {"X": "a\x00b"}},
            {"headers": {"X": "\u2603"}},
            {"headers": {"X": "\udc80"}},
            {"headers": {"X": " a"}},
            {"headers": {"X Y": "a"}},
            {"headers": {"X:": "a"}},
            {"headers": {"": "a"}},
            {"headers": {"X": "a", "x": "b"}},
            {"headers": {"Host": "example.com"}},
            {"headers": {"Content-Length": "1"}},
            {"headers": {"Transfer-Encoding": "chunked"}},
            {"headers": {"Accept-Encoding": "gzip"}},
        ],
    )
    def test_fails_without_a_connection(
        self, sender: Sender, start: Start, changes: dict[str, object]
    ) -> None:
        target = start(hostile.answering(OK))
        whole: dict[str, object] = {
            "url": target.url(),
            "method": "POST",
            "headers": {},
            "body": b"",
            "timeout": PLENTY,
        }

        reason = sender.fail(Request(**(whole | changes)))  # type: ignore[arg-type]

        assert reason is Reason.INVALID_REQUEST
        assert target.accepted == 0


class TestKeptConnections:
    def test_serve_many_requests(self, make_sender: MakeSender, start: Start) -> None:
        sender = make_sender(slots=1)
        target = start(hostile.answering(OK))

        for _ in range(20):
            sender.send(a_request(target.url()))

        assert target.accepted == 1

    def test_are_shared_by_all_slots(self, make_sender: MakeSender, start: Start) -> None:
        sender = make_sender(slots=8)
        target = start(hostile.answering(OK))

        for _ in range(24):
            sender.send(a_request(target.url()))

        assert target.accepted == 1

    @pytest.mark.parametrize("ending", [hostile.resetting, hostile.hanging_up])
    def test_that_went_stale_cost_nobody_an_attempt(
        self, make_sender: MakeSender, start: Start, ending: Behaviour
    ) -> None:
        sender = make_sender(slots=1)
        target = start(hostile.serving_once_then(ending))

        replies = [sender.send(a_request(target.url())) for _ in range(6)]

        assert {reply.body for reply in replies} == {b"ok"}

    def test_that_went_stale_cost_nobody_an_attempt_over_tls(
        self, make_sender: MakeSender, start: Start, certificates: Certificates
    ) -> None:
        sender = make_sender(slots=1, ca_file=certificates.ca_file)
        target = start(hostile.serving_once_then(hostile.hanging_up), tls=certificates.valid("127.0.0.1"))

        replies = [sender.send(a_request(target.url())) for _ in range(6)]

        assert {reply.body for reply in replies} == {b"ok"}

    def test_that_went_stale_are_not_replaced_by_other_stale_ones(
        self, make_sender: MakeSender, start: Start
    ) -> None:
        sender = make_sender(slots=4)
        target = start(hostile.going_stale_together(4))
        sender.send_all([a_request(target.url())] * 4)

        assert sender.send(a_request(target.url())).body == b"ok"
        assert target.accepted == 5

    def test_closed_while_idle_are_replaced(self, make_sender: MakeSender, start: Start) -> None:
        sender = make_sender(slots=4)
        target = start(hostile.closing_when_idle)

        for pause in (0.0, 0.19, 0.2, 0.21, 0.3):
            time.sleep(pause)
            replies = sender.send_all([a_request(target.url())] * 4)
            assert all(isinstance(exchange.outcome, Reply) for exchange in replies)

    @pytest.mark.parametrize("beginning", [b"H", OK_HEAD, HUGE])
    def test_that_fail_after_the_first_byte_are_not_tried_again(
        self, make_sender: MakeSender, start: Start, beginning: bytes
    ) -> None:
        sender = make_sender(slots=1)
        target = start(hostile.serving_once_then(hostile.answering_once(beginning)))
        sender.send(a_request(target.url()))

        reason = sender.fail(a_request(target.url()))

        assert reason in {Reason.CONNECTION_CLOSED, Reason.INVALID_RESPONSE}
        assert len(target.requests) == 2

    @pytest.mark.parametrize("scheme", ["http", "https"])
    @pytest.mark.parametrize("stray", [b"\r\n", b"HTTP/1.1 500 No\r\nContent-Length: 2\r\n\r\nno"])
    def test_that_said_more_than_they_were_asked_are_not_asked_again(
        self, make_sender: MakeSender, start: Start, certificates: Certificates, scheme: str, stray: bytes
    ) -> None:
        def straying(conversation: hostile.Conversation) -> None:
            conversation.read_request()
            conversation.send(OK)
            conversation.receiver.stopping.wait(0.05)
            conversation.send(stray)
            conversation.read_request()

        sender = make_sender(slots=1, ca_file=certificates.ca_file)
        target = start(straying, tls=certificates.valid("127.0.0.1") if scheme == "https" else None)
        sender.send(a_request(target.url()))
        time.sleep(0.2)

        # What came by itself is no answer: not to this request, and not to that of another webhook.
        assert sender.send(a_request(target.url())).http_status == 200
        assert (target.accepted, len(target.requests)) == (2, 2)

    def test_are_retried_once_only(self, make_sender: MakeSender, start: Start) -> None:
        sender = make_sender(slots=1)
        endings = iter([hostile.serving_once_then(hostile.resetting), hostile.resetting])
        target = start(lambda conversation: next(endings)(conversation))
        sender.send(a_request(target.url()))

        assert sender.fail(a_request(target.url())) is Reason.CONNECTION_CLOSED
        assert target.accepted == 2

    def test_new_ones_are_not_retried(self, sender: Sender, start: Start) -> None:
        target = start(hostile.resetting)

        assert sender.fail(a_request(target.url())) is Reason.CONNECTION_CLOSED
        assert target.accepted == 1


@contextmanager
def no_files_left() -> Iterator[None]:
    """Let this process open no more files than it has open."""
    gc.collect()  # it may close some
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    last = max(int(name) for name in os.listdir("/proc/self/fd"))
    # The limit is one of numbers: a free one below those in use would be one to open a file with, and one
    # that is given up would be none.
    gaps = list(iter(lambda: os.dup(0), last + 1))
    os.close(last + 1)
    resource.setrlimit(resource.RLIMIT_NOFILE, (last + 1, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for gap in gaps:
            os.close(gap)


class TestAMachineWithoutResources:
    @pytest.mark.parametrize("scheme", ["http", "https"])
    @pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", NAME])
    def test_blames_nobody(self, make_sender: MakeSender, scheme: str, host: str) -> None:
        sender = make_sender(lookup=lambda name: ["127.0.0.1"])
        requests = [a_request(f"{scheme}://{host}:1025/")] * 3

        with no_files_left():
            assert sender.reasons(requests) == [Reason.NO_RESOURCES] * 3

        assert sender.reasons(requests) == [Reason.CONNECTION_REFUSED] * 3

    def test_blames_no_name_that_it_cannot_look_up(self, make_sender: MakeSender) -> None:
        sender = make_sender(lookup=system_lookup)

        with no_files_left():
            assert sender.fail(a_request("http://localhost:1025/")) is Reason.NO_RESOURCES

        # At once: it is not remembered as a name without addresses.
        assert sender.fail(a_request("http://localhost:1025/")) is Reason.CONNECTION_REFUSED

    @pytest.mark.parametrize(
        ("error", "reason"),
        [
            (OSError(errno.EMFILE, "Too many open files"), Reason.NO_RESOURCES),
            (socket.gaierror(socket.EAI_AGAIN, "Temporary failure"), Reason.DNS_FAILED),
            (socket.gaierror(socket.EAI_NONAME, "Unknown"), Reason.DNS_FAILED),
        ],
    )
    def test_is_told_from_a_name_without_addresses(
        self, make_sender: MakeSender, error: OSError, reason: Reason
    ) -> None:
        def lookup(name: str) -> Sequence[str]:
            raise error

        assert make_sender(lookup=lookup).fail(a_request(f"http://{NAME}/")) is reason

    def test_gives_up_its_idle_connections_first(self, make_sender: MakeSender) -> None:
        sender = make_sender(slots=1)
        with elsewhere.receivers("well") as targets:
            *kept, another = targets.urls.values()
            for url in kept:
                sender.send(a_request(url))

            with no_files_left():
                sender.send(a_request(another))


class TestAFork:
    @pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
    def test_has_an_engine_of_its_own(self, make_sender: MakeSender, start: Start) -> None:
        sender = make_sender(slots=1)
        target = start(hostile.answering(OK))
        sender.send(a_request(target.url()))

        child = os.fork()
        if child == 0:
            works = False
            with suppress(BaseException):
                works = make_sender(slots=1).send(a_request(target.url())).body == b"ok"
            os._exit(0 if works else 1)
        _, status = os.waitpid(child, 0)

        assert os.waitstatus_to_exitcode(status) == 0
        sender.send(a_request(target.url()))
        # The connection of the parent is still its own, and still open.
        assert (target.accepted, len(target.requests)) == (2, 3)


class TestTheEnvironment:
    def test_has_no_say(
        self,
        make_sender: MakeSender,
        start: Start,
        certificates: Certificates,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        proxy = start(hostile.answering(OK))
        netrc = tmp_path / "netrc"
        netrc.write_text(f"machine {NAME} login us password secret\nmachine 127.0.0.1 login us password s\n")
        monkeypatch.setenv("NETRC", str(netrc))
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
            monkeypatch.setenv(name.lower(), f"http://127.0.0.1:{proxy.port}")
        monkeypatch.delenv("NO_PROXY", raising=False)
        for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
            monkeypatch.setenv(name, certificates.ca_file)
        plain, encrypted = start(hostile.echoing), start(hostile.echoing, tls=certificates.valid(NAME))

        sender = make_sender(lookup=at_loopback)
        reply = sender.send(a_request(plain.url(NAME)))
        untrusted = sender.fail(a_request(encrypted.url(NAME)))

        assert b"authorization" not in reply.body.lower()
        assert proxy.accepted == 0
        # The authority in the environment would have vouched for it.
        assert untrusted is Reason.TLS_FAILED

    def test_has_no_cookies(self, make_sender: MakeSender, start: Start) -> None:
        sender = make_sender(slots=1)
        target = start(hostile.answering(OK_HEAD + b"Set-Cookie: a=b\r\nContent-Length: 0\r\n\r\n"))

        for _ in range(2):
            sender.send(a_request(target.url()))

        assert [b"cookie" in request.lower() for request in target.requests] == [False, False]


class TestCollecting:
    def test_leaves_no_traceback_in_the_outcome(self, sender: Sender) -> None:
        (exchange,) = sender.send_all([a_request("http://10.0.0.1/")])

        assert isinstance(exchange.outcome, TransportError)
        assert exchange.outcome.__traceback__ is None
        assert exchange.outcome.__context__ is None

    def test_after_closing_says_so(self, sender: Sender) -> None:
        for _ in range(2):
            sender.transport.close()

        with pytest.raises(RuntimeError, match="closed"):
            sender.transport.submit(uuid4(), a_request("http://127.0.0.1:8000/", timeout=PLENTY))

    def test_returns_every_key_once(self, make_sender: MakeSender, start: Start) -> None:
        transport = make_sender(slots=8).transport
        urls = [start(hostile.answering(OK)).url(), start(hostile.resetting).url(), "nonsense"]
        keys = [uuid4() for _ in range(90)]

        for number, key in enumerate(keys):
            transport.submit(key, a_request(urls[number % len(urls)]))
        collected: list[UUID] = []
        while len(collected) < len(keys):
            collected += [exchange.key for exchange in transport.collect(PLENTY)]

        assert sorted(collected) == sorted(keys)
        assert transport.collect(timedelta(0)) == []

    def test_waits_no_longer_than_it_may(self, sender: Sender) -> None:
        started_at = time.monotonic()

        assert sender.transport.collect(timedelta(seconds=0.1)) == []
        assert 0.1 <= time.monotonic() - started_at < PLENTY.total_seconds()

    def test_can_be_woken(self, sender: Sender) -> None:
        with ThreadPoolExecutor() as threads:
            waiting = threads.submit(sender.transport.collect, 4 * PLENTY)
            time.sleep(0.05)
            sender.transport.wake()

            assert waiting.result(timeout=PLENTY.total_seconds()) == []

    def test_remembers_having_been_woken(self, sender: Sender) -> None:
        sender.transport.wake()
        started_at = time.monotonic()

        assert sender.transport.collect(4 * PLENTY) == []
        assert time.monotonic() - started_at < PLENTY.total_seconds()

    def test_ends_with_the_transport(self, make_sender: MakeSender, start: Start) -> None:
        transport: Transport = make_sender(slots=2).transport
        target = start(hostile.silent)
        for _ in range(4):
            transport.submit(uuid4(), a_request(target.url(), timeout=PLENTY))

        def begun() -> bool:
            # An engine without threads of its own does nothing unless somebody collects.
            assert transport.collect(timedelta(seconds=0.1)) == []
            return len(target.requests) >= 2

        wait_until(begun, what="as many as there are slots")

        started_at = time.monotonic()
        transport.close()

        assert time.monotonic() - started_at < PLENTY.total_seconds() / 2
        time.sleep(0.1)  # nothing to wait for: nothing is to happen
        assert len(target.requests) == 2
