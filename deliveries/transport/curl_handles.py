"""An easy handle of libcurl and its callbacks: how a request is put, and what came of one try.

libcurl neither resolves nor connects here. It takes every URL for one that is reached by a Unix socket whose
path cannot exist, and asks for that socket by the open-socket callback. What it gets is a TCP connection that
`Dial` has checked and opened; without one the callback refuses. So no option, URL or answer, and no mistake
of ours, leads libcurl anywhere else.
"""

import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import lru_cache, wraps
from typing import Any

import pycurl

from deliveries.transport.base import AGE_LIMIT, IDLE_LIMIT, Request
from deliveries.transport.curl_answers import Answer
from deliveries.transport.curl_connections import Arrivals, Connection, Connections, End
from deliveries.transport.curl_dialling import Dial

# Nothing is below a device, so nobody can put a socket there. libcurl keeps connections of different paths
# apart; each policy has its own.
_NOWHERE = "/dev/null/{}"
_NO_ANSWER = Answer()
_STOP = 0
"""As the number of bytes taken: the transfer ends, and its connection with it."""

_WITHOUT_BODY = frozenset(("GET", "HEAD"))
# Header fields that libcurl would add by itself.
_NOT_ADDED = ("Accept:", "Content-Type:", "Expect:", "User-Agent:")

# libcurl would write the keys of all its sessions to a file of this name. It looks with its first handle.
os.environ.pop("SSLKEYLOGFILE", None)


def _guarded(refusal: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Keep an exception of a callback for the outcome; to libcurl it is a refusal. pycurl would print it."""

    def decorate(method: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(method)
        def guarded(handle: "Handle", *args: Any) -> Any:
            try:
                return method(handle, *args)
            except BaseException as error:  # a keyboard's interrupt, too, is swallowed by pycurl
                handle.trouble = error
                return refusal

        return guarded

    return decorate


class Handle:
    """An easy handle for one exchange after the other, and what the try under way has come to."""

    def __init__(self, ca_file: str, connections: Connections) -> None:
        self.easy = pycurl.Curl()
        self._connections = connections
        self._set_up(ca_file)
        self.prepare(dial=None, fresh=False)

    def _set_up(self, ca_file: str) -> None:
        """Set what holds for every exchange, defaults included where everything rests on them."""
        easy = self.easy
        for option, value in (
            (pycurl.NOSIGNAL, 1),
            (pycurl.PROTOCOLS, pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS),
            (pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_1_1),
            (pycurl.HTTP09_ALLOWED, 0),
            (pycurl.FOLLOWLOCATION, 0),
            (pycurl.PATH_AS_IS, 1),
            (pycurl.PROXY, ""),  # none, whatever the environment says ...
            (pycurl.NOPROXY, "*"),  # ... and if there were one, for no host
            (pycurl.NETRC, pycurl.NETRC_IGNORED),
            (pycurl.HTTP_CONTENT_DECODING, 0),
            (pycurl.HTTP_TRANSFER_DECODING, 0),  # every byte of a body counts, so we want to see it
            (pycurl.CAINFO, ca_file),
            (pycurl.SSL_VERIFYPEER, 1),
            (pycurl.SSL_VERIFYHOST, 2),
            (pycurl.SSLVERSION, pycurl.SSLVERSION_TLSv1_2),
            (pycurl.SSL_OPTIONS, pycurl.SSLOPT_NO_PARTIALCHAIN),
            (pycurl.SSL_SESSIONID_CACHE, 0),  # who resumes a session shows no certificate
            (pycurl.OPT_CERTINFO, 1),
            (pycurl.MAXAGE_CONN, int(IDLE_LIMIT)),
            (pycurl.MAXLIFETIME_CONN, int(AGE_LIMIT)),
            (pycurl.OPENSOCKETFUNCTION, self._on_open),
            (pycurl.SOCKOPTFUNCTION, self._on_socket),
            (pycurl.PREREQFUNCTION, self._on_ready),
            (pycurl.HEADERFUNCTION, self._on_header),
            (pycurl.WRITEFUNCTION, self._on_body),
        ):
            easy.setopt(option, value)
        easy.unsetopt(pycurl.CAPATH)  # the directory libcurl was built with: other authorities than asked for

    def load(self, request: Request, group: int) -> None:
        """Set what holds for one exchange.

        :param group: of connections that will do, and no others: those that its policy let pass.
        """
        easy = self.easy
        self._group = group
        self._origin = request.url[: request.url.index("/", len("https://"))]
        self.is_encrypted = request.url.startswith("https:")
        easy.setopt(pycurl.URL, request.url)
        easy.setopt(pycurl.UNIX_SOCKET_PATH, _NOWHERE.format(group))
        easy.setopt(pycurl.HTTPHEADER, _fields(request))
        if request.body or request.method not in _WITHOUT_BODY:
            easy.setopt(pycurl.POST, 1)
            easy.setopt(pycurl.POSTFIELDS, request.body)
        else:
            easy.setopt(pycurl.HTTPGET, 1)
        if request.method == "HEAD":
            easy.setopt(pycurl.NOBODY, 1)
        easy.setopt(pycurl.CUSTOMREQUEST, request.method)

    def prepare(self, *, dial: Dial | None, fresh: bool) -> None:
        """Begin a try.

        :param dial: a connection that stands, should libcurl have none of its own.
        :param fresh: whether none of its own will do.
        """
        self.easy.setopt(pycurl.FRESH_CONNECT, int(fresh))
        self._dial = dial
        self._begun_at = time.monotonic()
        self.connection: Connection | None = None
        """The one the request was sent on."""
        self.needs_connection = False
        """libcurl had none, and got none."""
        self.tried_again = False
        """The connection was of no use: something lay in it, or libcurl would have sent the request again."""
        self.reused = False
        self.answer = Answer()
        """If we hung up, it says why."""
        self.trouble: BaseException | None = None
        """What a callback raised."""
        self.tls: float | None = None
        self.first_byte: float | None = None
        self._sent_at = 0.0
        self._arrivals: Arrivals | None = None

    def unload(self) -> None:
        """Let go of what is large of the exchange that is over; the next one replaces the rest."""
        self.easy.setopt(pycurl.POSTFIELDS, b"")
        self.answer = _NO_ANSWER
        self._dial = self.connection = self.trouble = None

    def conclude(self) -> None:
        """End the try: libcurl is done with it."""
        if self._arrivals is not None:
            arrived, self._arrivals = self._arrivals.stop(), None
            self.answer.received = self.answer.received or arrived

    @_guarded(pycurl.SOCKET_BAD)
    def _on_open(self, purpose: int, address: object) -> Any:
        if self.connection is not None:
            self.tried_again = True
            return pycurl.SOCKET_BAD
        if self._dial is None or self._dial.connection is None:
            self.needs_connection = True
            return pycurl.SOCKET_BAD
        return self._dial.connection  # of which pycurl makes a duplicate

    @_guarded(pycurl.SOCKOPT_ERROR)
    def _on_socket(self, fd: int, purpose: int) -> Any:
        dial = self._dial
        if dial is None or dial.connection is None:
            return pycurl.SOCKOPT_ERROR
        host, port = dial.connection.getsockname()[:2]
        self._connections.add(Connection(fd=fd, end=self._end(host, port), remote_address=dial.address))
        dial.close()
        return pycurl.SOCKOPT_ALREADY_CONNECTED

    @_guarded(pycurl.PREREQFUNC_ABORT)
    def _on_ready(self, remote: str, host: str, remote_port: int, port: int) -> Any:
        """Look at the connection on which libcurl is about to send."""
        if self.connection is not None:
            self.tried_again = True
            return pycurl.PREREQFUNC_ABORT
        found = self._connections.at_end(self._end(host, port))
        if not found:
            raise RuntimeError("libcurl would send on a connection that nobody has checked for it")
        self.reused = self._dial is None or self._dial.connection is not None
        if self.reused:
            return self._on_kept(found[-1], alone=len(found) == 1)
        return self._on_fresh(found[-1])

    def _on_fresh(self, connection: Connection) -> Any:
        if self.is_encrypted and not self._has_alternative_name():
            return pycurl.PREREQFUNC_ABORT
        self.connection = connection
        self._sent_at = time.monotonic()
        if self.is_encrypted:
            self.tls = self._sent_at - self._begun_at
        return pycurl.PREREQFUNC_OK

    def _on_kept(self, connection: Connection, *, alone: bool) -> Any:
        self.connection = connection
        self._sent_at = time.monotonic()
        if connection.has_news():
            # libcurl does not look at a connection that was used within the last second.
            self.tried_again = True
            return pycurl.PREREQFUNC_ABORT
        if alone and not self.is_encrypted:
            with suppress(OSError):  # no descriptor is left: then whole lines must do
                self._arrivals = Arrivals(connection)
        return pycurl.PREREQFUNC_OK

    def _has_alternative_name(self) -> bool:
        """Whether the receiver's certificate says whose it is where it must (RFC 9110 section 4.3.4).

        libcurl has checked that name if there is one, and the common name of the subject otherwise.
        """
        try:
            chain = self.easy.getinfo(pycurl.INFO_CERTINFO)
        except UnicodeDecodeError:
            return True  # pycurl wants text, and some authorities write Latin-1: then libcurl's check must do
        return any(
            field == "X509v3 Subject Alternative Name" and ("DNS:" in value or "IP Address:" in value)
            for certificate in chain[:1]
            for field, value in certificate
        )

    def _end(self, host: str, port: int) -> End:
        return End(self._group, self._origin, host, port)

    @_guarded(_STOP)
    def _on_header(self, line: bytes) -> int | None:
        if not self.answer.received:
            self.first_byte = time.monotonic() - self._sent_at
        return None if self.answer.goes_on_after_line(line) else _STOP

    @_guarded(_STOP)
    def _on_body(self, part: bytes) -> int | None:
        return None if self.answer.goes_on_after_part(part) else _STOP


def _fields(request: Request) -> list[str]:
    """Return the header fields as libcurl takes them; one without a value ends in a semicolon."""
    fields = [f"{name}: {value}" if value else f"{name};" for name, value in request.headers.items()]
    return [*fields, *_beside(*request.headers)]


@lru_cache(maxsize=4096)  # a webhook's are always the same
def _beside(*names: str) -> Sequence[str]:
    """Return the fields that are given beside those of these names."""
    given = {f"{name.lower()}:" for name in names}
    return [*(field for field in _NOT_ADDED if field.lower() not in given), "Accept-Encoding: identity"]
