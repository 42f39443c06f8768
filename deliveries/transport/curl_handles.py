"""An easy handle of libcurl and its callbacks: how a request is put, and what came of one try.

libcurl neither resolves nor connects here. It takes every URL for one that is reached by a Unix socket whose
path cannot exist, and asks for that socket by the open-socket callback. What it gets is a TCP connection that
`Dial` has checked and opened; without one the callback refuses. So no option, URL or answer, and no mistake
of ours, leads libcurl anywhere else.
"""

import re
import time
from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from typing import Any

import certifi
import pycurl

from deliveries.transport.base import KEEP_LIMIT, READ_LIMIT, Request
from deliveries.transport.connections import AGE_LIMIT, IDLE_LIMIT
from deliveries.transport.curl_connections import Arrivals, Connection, Connections, End
from deliveries.transport.curl_dialling import Dial

# Nothing is below a device, so nobody can put a socket there. libcurl keeps connections of different paths
# apart; each policy has its own.
_NOWHERE = "/dev/null/{}"
_STOP = 0
"""As the number of bytes taken: the transfer ends, and its connection with it."""

# Without a body whatever their headers say, as `connections` has it.
_WITHOUT_BODY = frozenset((204, 304))
_WITHOUT_REQUEST_BODY = frozenset(("GET", "HEAD"))
_SWITCHING_PROTOCOLS = 101
_STATUS_LINE = re.compile(rb"HTTP/1\.[0-9] +([1-9][0-9]{2})(?!\S)")
# Header fields that libcurl would add by itself.
_NOT_ADDED = ("Accept:", "Content-Type:", "Expect:", "User-Agent:")


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

    def __init__(self, ca_file: str | None, connections: Connections) -> None:
        self.easy = pycurl.Curl()
        self._connections = connections
        self._set_up(ca_file or certifi.where())
        self.prepare(dial=None, fresh=False)

    def _set_up(self, ca_file: str) -> None:
        """Set what holds for every exchange."""
        easy = self.easy
        for option, value in (
            (pycurl.NOSIGNAL, 1),
            (pycurl.PROTOCOLS, pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS),
            (pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_1_1),
            (pycurl.HTTP09_ALLOWED, 0),
            (pycurl.FOLLOWLOCATION, 0),
            (pycurl.PATH_AS_IS, 1),
            (pycurl.PROXY, ""),
            (pycurl.NOPROXY, "*"),
            (pycurl.NETRC, pycurl.NETRC_IGNORED),
            (pycurl.HTTP_CONTENT_DECODING, 0),
            (pycurl.HTTP_TRANSFER_DECODING, 0),  # every byte of a body counts, so we want to see it
            (pycurl.CAINFO, ca_file),
            (pycurl.SSL_VERIFYPEER, 1),
            (pycurl.SSL_VERIFYHOST, 2),
            (pycurl.SSLVERSION, pycurl.SSLVERSION_TLSv1_2),
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
        easy.setopt(pycurl.URL, request.url)
        easy.setopt(pycurl.UNIX_SOCKET_PATH, _NOWHERE.format(group))
        easy.setopt(pycurl.HTTPHEADER, _fields(request))
        if request.body or request.method not in _WITHOUT_REQUEST_BODY:
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
        """libcurl found its connection dead and would have sent the request again by itself."""
        self.reused = False
        self.received = 0
        """Bytes of the answer so far, those included that are only part of a line."""
        self.status = 0
        self.lines: list[bytes] = []
        """Of the headers of the answer proper."""
        self.complete = False
        """The headers have all come."""
        self.chunked = False
        self.body = bytearray()
        """As far as it is of use; chunks as they came."""
        self.enough = False
        """We hung up, and have all of the answer we want."""
        self.invalid = False
        """We hung up, because the answer is none."""
        self.trouble: BaseException | None = None
        """What a callback raised."""
        self.tls: float | None = None
        self.first_byte: float | None = None
        self._sent_at = 0.0
        self._in_headers = False
        self._body_bytes = 0
        self._arrivals: Arrivals | None = None

    def unload(self) -> None:
        """Let go of what belongs to the exchange that is over."""
        self.easy.setopt(pycurl.POSTFIELDS, b"")
        self.prepare(dial=None, fresh=False)

    def conclude(self) -> None:
        """End the try: libcurl is done with it."""
        if self._arrivals is not None:
            arrived, self._arrivals = self._arrivals.stop(), None
            self.received = self.received or arrived

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
        connection = self._connections.at_end(self._end(host, port))
        if connection is None:
            raise RuntimeError("libcurl would send on a connection that nobody has checked for it")
        self.connection = connection
        self.reused = self._dial is None or self._dial.connection is not None
        self._sent_at = time.monotonic()
        if self.reused and self._origin.startswith("http:"):
            with suppress(OSError):  # no descriptor is left: then whole lines must do
                self._arrivals = Arrivals(connection)
        if not self.reused:
            self.tls = self._sent_at - self._begun_at
        return pycurl.PREREQFUNC_OK

    def _end(self, host: str, port: int) -> End:
        return End(self._group, self._origin, host, port)

    @_guarded(_STOP)
    def _on_header(self, line: bytes) -> int | None:
        if not self.received:
            self.first_byte = time.monotonic() - self._sent_at
        self.received += len(line)
        if self.received > READ_LIMIT:
            self.invalid = True
            return _STOP
        if not self._in_headers:
            self._in_headers = True
            status_line = _STATUS_LINE.match(line)
            self.status = int(status_line[1]) if status_line else 0
            self.invalid = self.status in (0, _SWITCHING_PROTOCOLS)
        elif line in (b"\r\n", b"\n"):
            return self._end_of_headers()
        elif self.status >= 200:  # noqa: PLR2004
            self.lines.append(line)
        return _STOP if self.invalid else None

    def _end_of_headers(self) -> int | None:
        if self.status < 200:  # noqa: PLR2004 # an interim answer: another one follows (RFC 9110 section 15.2)
            self._in_headers = False
            return None
        self.complete = True
        lengths, codings = self._values(b"content-length"), self._values(b"transfer-encoding")
        if self.status in _WITHOUT_BODY:
            # A body that comes all the same would be taken for the beginning of the next answer.
            self.enough = bool(codings) or not lengths <= {b"0"}
        else:
            self.invalid = len(lengths) > 1
            self.chunked = b"chunked" in codings
        return _STOP if self.enough or self.invalid else None

    def _values(self, name: bytes) -> set[bytes]:
        """Return the values of a header that is a list."""
        beginning = name + b":"
        return {
            value.strip().lower()
            for line in self.lines
            if line[: len(beginning)].lower() == beginning
            for value in line[len(beginning) :].split(b",")
        }

    @_guarded(_STOP)
    def _on_body(self, part: bytes) -> int | None:
        self.received += len(part)
        self._body_bytes += len(part)
        self.body += part[: (READ_LIMIT if self.chunked else KEEP_LIMIT) - len(self.body)]
        self.enough = self._body_bytes >= READ_LIMIT
        return _STOP if self.enough else None


def _fields(request: Request) -> list[str]:
    """Return the header fields as libcurl takes them; one without a value ends in a semicolon."""
    names = {name.lower() for name in request.headers}
    fields = [f"{name}: {value}" if value else f"{name};" for name, value in request.headers.items()]
    fields += [field for field in _NOT_ADDED if field[:-1].lower() not in names]
    return [*fields, "Accept-Encoding: identity"]
