"""Engines under test, names that resolve without DNS, and certificates."""

import datetime
import os
import ssl
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Protocol
from uuid import UUID, uuid4

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import ExtensionOID, NameOID

from deliveries.addresses import AddressPolicy
from deliveries.reasons import Reason
from deliveries.transport import Exchange, Reply, Request, RequestsTransport, Transport
from deliveries.transport.curl_engine import CurlTransport
from tests.transport.hostile import Receiver, receiver

Lookup = Callable[[str], Sequence[str]]

LOOPBACK = AddressPolicy(
    allowed_networks=(ip_network("127.0.0.0/8"), ip_network("::1/128")), require_https=False
)
PUBLIC = AddressPolicy(require_https=False)

# A name that a lookup of the test's own answers.
NAME = "hooks.example.com"

# Time enough for whatever is answered at once, also on a busy machine.
PLENTY = timedelta(seconds=5)
# The deadline of exchanges that must run into it, also where much comes before that; and how far beyond it
# they may end on a busy machine. What they meet goes on without end.
SHORT = timedelta(seconds=0.6)
LONGER = timedelta(seconds=2)
TOLERANCE = timedelta(seconds=3)
# More than the kernel takes off our hands before the receiver reads.
LARGE = bytes(32 * 1024 * 1024)


class Engine(Protocol):
    """How every engine is made."""

    def __call__(
        self,
        policy: AddressPolicy,
        slots: int = ...,
        ca_file: str | None = ...,
        lookup: Lookup = ...,
    ) -> Transport: ...


ENGINES: Mapping[str, Engine] = {"requests": RequestsTransport, "curl": CurlTransport}


def no_names(name: str) -> Sequence[str]:
    """A name server that knows nothing."""
    raise OSError(f"{name} does not exist")


class Sender:
    """A transport, and the little that most tests want of one."""

    def __init__(self, transport: Transport) -> None:
        self.transport = transport

    def send_all(self, requests: Sequence[Request]) -> list[Exchange]:
        """Send all at once and return the exchanges in the order of the requests."""
        keys = [uuid4() for _ in requests]
        for key, request in zip(keys, requests, strict=True):
            self.transport.submit(key, request)
        finished: dict[UUID, Exchange] = {}
        while len(finished) < len(keys):
            arrived = self.transport.collect(timedelta(seconds=20))
            assert arrived, "an exchange never came back"
            finished |= {exchange.key: exchange for exchange in arrived}
        return [finished[key] for key in keys]

    def send(self, request: Request) -> Reply:
        """Send one request that must be answered."""
        (exchange,) = self.send_all([request])
        assert isinstance(exchange.outcome, Reply), repr(exchange.outcome)
        return exchange.outcome

    def reasons(self, requests: Sequence[Request]) -> list[Reason | int]:
        """Send all at once and return what came of each: the reason, or the status of the answer."""
        return [
            exchange.outcome.http_status if isinstance(exchange.outcome, Reply) else exchange.outcome.reason
            for exchange in self.send_all(requests)
        ]

    def fail(self, request: Request) -> Reason:
        """Send one request that must not be answered, and return the reason."""
        (exchange,) = self.send_all([request])
        assert not isinstance(exchange.outcome, Reply), repr(exchange.outcome)
        return exchange.outcome.reason


class MakeSender(Protocol):
    def __call__(
        self,
        policy: AddressPolicy = ...,
        *,
        slots: int = ...,
        ca_file: str | None = ...,
        lookup: Lookup = ...,
    ) -> Sender: ...


def at_loopback(name: str) -> Sequence[str]:
    """Look a name up: a lookup for which all of them are this machine's."""
    return ["127.0.0.1"]


def a_request(
    url: str,
    *,
    method: str = "POST",
    headers: Mapping[str, str] | None = None,
    body: bytes = b"{}",
    timeout: timedelta = PLENTY,
) -> Request:
    return Request(url=url, method=method, headers=headers or {}, body=body, timeout=timeout)


@pytest.fixture(params=list(ENGINES))
def engine(request: pytest.FixtureRequest) -> Engine:
    return ENGINES[request.param]


@pytest.fixture
def make_sender(engine: Engine) -> Iterator[MakeSender]:
    with ExitStack() as transports:

        def make(
            policy: AddressPolicy = LOOPBACK,
            *,
            slots: int = 4,
            ca_file: str | None = None,
            lookup: Lookup = no_names,
        ) -> Sender:
            transport = engine(policy, slots=slots, ca_file=ca_file, lookup=lookup)
            transports.callback(transport.close)
            return Sender(transport)

        yield make


@pytest.fixture
def sender(make_sender: MakeSender) -> Sender:
    return make_sender()


Start = Callable[..., Receiver]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start any number of receivers that stop with the test."""
    with ExitStack() as running:
        yield lambda *args, **kwargs: running.enter_context(receiver(*args, **kwargs))


def resident_bytes() -> int:
    """Return the memory this process holds, in bytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, kw_only=True)
class Certificates:
    """A certificate authority that clients trust by `ca_file`, and server contexts of several kinds."""

    ca_file: str
    authority: trustme.CA

    def valid(self, *names: str) -> ssl.SSLContext:
        return _server(self.authority.issue_cert(*names))

    def demanding(self, name: str, version: ssl.TLSVersion) -> ssl.SSLContext:
        """Return one whose receiver wants a certificate of the client, too."""
        context = self.valid(name)
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(self.ca_file)
        context.minimum_version = context.maximum_version = version
        return context

    def expired(self, name: str) -> ssl.SSLContext:
        long_ago = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
        return _server(
            self.authority.issue_cert(name, not_before=long_ago, not_after=long_ago + timedelta(days=90))
        )

    def untrusted(self, name: str) -> ssl.SSLContext:
        return _server(trustme.CA().issue_cert(name))

    def through(self, intermediate: trustme.CA, name: str) -> ssl.SSLContext:
        """Return one of an authority that this one, or somebody else, vouches for."""
        return _server(intermediate.issue_cert(name))

    def of_the_common_name(self, name: str, *, kind: _ASN1Type = _ASN1Type.UTF8String) -> ssl.SSLContext:
        """Return one whose name stands in its subject alone, as it did in the last century."""
        with warnings.catch_warnings(action="ignore"):  # of a name without a letter
            return self._issue(x509.NameAttribute(NameOID.COMMON_NAME, name, kind, _validate=False))

    def beside_a_name_in_latin_1(self, name: str) -> ssl.SSLContext:
        """Return one for a name, and for a URI that is spelt as none may be."""
        names = b"\x82%c%b\x86\x08http://\xe9" % (len(name), name.encode())
        return self._issue(
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Caf\u00e9"),
            x509.UnrecognizedExtension(
                ExtensionOID.SUBJECT_ALTERNATIVE_NAME, b"\x30%c%b" % (len(names), names)
            ),
        )

    def _issue(self, subject: x509.NameAttribute[str], *extensions: x509.ExtensionType) -> ssl.SSLContext:
        key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([subject]))
            .issuer_name(x509.load_pem_x509_certificate(self.authority.cert_pem.bytes()).subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
        )
        for extension in extensions:
            builder = builder.add_extension(extension, critical=False)
        certificate = builder.sign(_private_key(self.authority), hashes.SHA256())
        return _server(
            trustme.LeafCert(
                key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
                certificate.public_bytes(Encoding.PEM),
                [],
            )
        )


def _private_key(authority: trustme.CA) -> ec.EllipticCurvePrivateKey:
    key = load_pem_private_key(authority.private_key_pem.bytes(), password=None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key


def _server(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    authority = trustme.CA()
    ca_file: Path = tmp_path_factory.mktemp("authority") / "ca.pem"
    authority.cert_pem.write_to_path(ca_file)
    return Certificates(ca_file=str(ca_file), authority=authority)
