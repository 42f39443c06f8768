"""Certificates and handshakes: whom an engine believes, and whom it blames."""

import os
import ssl
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from cryptography.x509.name import _ASN1Type

from deliveries.reasons import Reason
from tests.transport import hostile
from tests.transport.conftest import (
    ENGINES,
    NAME,
    SHORT,
    Certificates,
    MakeSender,
    Sender,
    Start,
    a_request,
    at_loopback,
)
from tests.transport.hostile import OK


class TestACertificate:
    def test_is_checked_by_name_on_a_connection_to_the_checked_address(
        self, make_sender: MakeSender, start: Start, certificates: Certificates
    ) -> None:
        asked_for = []
        tls = certificates.valid(NAME)
        tls.sni_callback = lambda connection, name, context: asked_for.append(name)
        target = start(hostile.echoing, tls=tls)
        sender = make_sender(ca_file=certificates.ca_file, lookup=at_loopback)

        reply = sender.send(a_request(target.url(NAME)))
        # The address is where the name led, and the certificate is still not for it.
        by_address = sender.fail(a_request(target.url("127.0.0.1")))

        assert b"Host: %b:%d\r\n" % (NAME.encode(), target.port) in reply.body
        assert asked_for[0] == NAME
        assert by_address is Reason.TLS_FAILED

    @pytest.mark.parametrize("kind", ["wrong name", "wildcard too deep", "expired", "untrusted", "old"])
    def test_is_refused(
        self, make_sender: MakeSender, start: Start, certificates: Certificates, kind: str
    ) -> None:
        old = certificates.valid(NAME)
        old.set_ciphers("ALL:@SECLEVEL=0")
        with pytest.warns(DeprecationWarning, match="TLSv1_1"):
            old.maximum_version = old.minimum_version = ssl.TLSVersion.TLSv1_1
        contexts = {
            "wrong name": certificates.valid("other.example.com"),
            "wildcard too deep": certificates.valid("*.com"),
            "expired": certificates.expired(NAME),
            "untrusted": certificates.untrusted(NAME),
            "old": old,
        }
        target = start(hostile.answering(OK), tls=contexts[kind])
        sender = make_sender(ca_file=certificates.ca_file, lookup=at_loopback)

        assert sender.fail(a_request(target.url(NAME))) is Reason.TLS_FAILED
        assert target.requests == []

    def test_of_a_private_authority_needs_that_authority(
        self, make_sender: MakeSender, start: Start, certificates: Certificates
    ) -> None:
        target = start(hostile.answering(OK), tls=certificates.valid(NAME))

        assert make_sender(lookup=at_loopback).fail(a_request(target.url(NAME))) is Reason.TLS_FAILED

    def test_is_asked_for_also_where_plain_http_is_spoken(self, sender: Sender, start: Start) -> None:
        url = start(hostile.answering(OK)).url().replace("http://", "https://")

        assert sender.fail(a_request(url, timeout=SHORT)) in {Reason.TLS_FAILED, Reason.CONNECTION_TIMEOUT}

    @pytest.mark.parametrize("trusted", ["the root", "what stands between"])
    def test_leads_to_an_authority_that_nobody_else_has_to_vouch_for(
        self, make_sender: MakeSender, start: Start, certificates: Certificates, tmp_path: Path, trusted: str
    ) -> None:
        between = certificates.authority.create_child_ca()
        between.cert_pem.write_to_path(tmp_path / "between.pem")
        target = start(hostile.answering(OK), tls=certificates.through(between, NAME))
        ca_file = certificates.ca_file if trusted == "the root" else str(tmp_path / "between.pem")

        (outcome,) = make_sender(ca_file=ca_file, lookup=at_loopback).reasons([a_request(target.url(NAME))])

        assert outcome == (200 if trusted == "the root" else Reason.TLS_FAILED)

    def test_has_its_name_not_in_the_subject_alone(
        self, make_sender: MakeSender, start: Start, certificates: Certificates
    ) -> None:
        target = start(hostile.answering(OK), tls=certificates.of_the_common_name(NAME))
        sender = make_sender(slots=1, ca_file=certificates.ca_file, lookup=at_loopback)

        assert [sender.fail(a_request(target.url(NAME))) for _ in range(2)] == [Reason.TLS_FAILED] * 2
        assert target.requests == []

    def test_may_say_besides_what_is_no_text(
        self, make_sender: MakeSender, start: Start, certificates: Certificates
    ) -> None:
        target = start(hostile.answering(OK), tls=certificates.beside_a_name_in_latin_1(NAME))

        make_sender(ca_file=certificates.ca_file, lookup=at_loopback).send(a_request(target.url(NAME)))

    @pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
    def test_is_shown_for_every_connection(
        self, make_sender: MakeSender, start: Start, certificates: Certificates, version: ssl.TLSVersion
    ) -> None:
        resumed = []

        def behave(conversation: hostile.Conversation) -> None:
            assert isinstance(conversation.connection, ssl.SSLSocket)
            resumed.append(conversation.connection.session_reused)
            hostile.answering_once(OK)(conversation)

        tls = certificates.valid(NAME)
        tls.minimum_version = tls.maximum_version = version
        target = start(behave, tls=tls)
        sender = make_sender(slots=1, ca_file=certificates.ca_file, lookup=at_loopback)

        for _ in range(3):
            sender.send(a_request(target.url(NAME)))

        # Who resumes a session shows none, and may keep it beyond the day its certificate ends.
        assert resumed == [False] * 3

    @pytest.mark.parametrize("kind", [_ASN1Type.UTF8String, _ASN1Type.BMPString])
    def test_without_any_name_fails_its_own_exchange_alone(
        self, make_sender: MakeSender, start: Start, certificates: Certificates, kind: _ASN1Type
    ) -> None:
        sender = make_sender(slots=1, ca_file=certificates.ca_file, lookup=at_loopback)
        healthy = start(hostile.answering(OK))
        nameless = start(hostile.answering(OK), tls=certificates.of_the_common_name("", kind=kind))
        sender.send(a_request(healthy.url()))

        assert sender.fail(a_request(nameless.url(NAME))) is Reason.TLS_FAILED
        sender.send(a_request(healthy.url()))
        # As it would not be, had the engine taken this for a shortage of its own.
        assert healthy.accepted == 1


class TestTheAuthorities:
    def test_are_those_the_engine_was_made_with(
        self, make_sender: MakeSender, start: Start, certificates: Certificates, tmp_path: Path
    ) -> None:
        ca_file = tmp_path / "ca.pem"
        ca_file.write_bytes(Path(certificates.ca_file).read_bytes())
        target = start(hostile.answering(OK), tls=certificates.valid("127.0.0.1"))

        sender = make_sender(ca_file=str(ca_file))
        ca_file.unlink()

        sender.send(a_request(target.url()))

    @pytest.mark.parametrize("content", [None, b"", b"-----BEGIN CERTIFICATE-----\nwhat?\n"])
    def test_that_cannot_be_read_are_no_reason_to_begin(
        self, make_sender: MakeSender, tmp_path: Path, content: bytes | None
    ) -> None:
        if content is not None:
            (tmp_path / "ca.pem").write_bytes(content)
        files = len(os.listdir("/proc/self/fd"))

        with pytest.raises((FileNotFoundError, ssl.SSLError)):
            make_sender(ca_file=str(tmp_path / "ca.pem"))

        assert len(os.listdir("/proc/self/fd")) == files


class TestACertificateOfOurs:
    @pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
    def test_that_is_wanted_is_a_failed_handshake(
        self, make_sender: MakeSender, start: Start, certificates: Certificates, version: ssl.TLSVersion
    ) -> None:
        tls = certificates.demanding("127.0.0.1", version)

        def demanding(conversation: hostile.Conversation) -> None:
            with suppress(ssl.SSLError):
                tls.wrap_socket(conversation.connection.dup(), server_side=True)
            conversation.until_hung_up()  # so that no reset overtakes what it has to say

        target = start(demanding)
        sender = make_sender(ca_file=certificates.ca_file)

        assert sender.fail(a_request(target.url().replace("http", "https"))) is Reason.TLS_FAILED
        assert target.accepted == 1


class TestTheKeysOfASession:
    @pytest.mark.parametrize("name", list(ENGINES))
    def test_are_written_nowhere(
        self, start: Start, certificates: Certificates, tmp_path: Path, name: str
    ) -> None:
        target = start(hostile.answering(OK), tls=certificates.valid("127.0.0.1"))
        keys = tmp_path / "keys"
        program = [sys.executable, "-m", "tests.transport.sending", name, target.url(), certificates.ca_file]

        done = subprocess.run(
            program,
            env=os.environ | {"SSLKEYLOGFILE": str(keys)},
            capture_output=True,
            text=True,
            check=False,
        )

        assert (done.returncode, done.stdout) == (0, "200\n"), done.stderr
        assert not keys.exists()
