"""The web server of the one process: Django's own, with threads, and quiet."""

import contextlib
import errno
import logging
import re
import socketserver
import threading
from collections.abc import Iterable
from email.errors import (
    MultipartInvariantViolationDefect,
    NoBoundaryInMultipartDefect,
    StartBoundaryNotFoundDefect,
)
from email.message import Message
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from django.core.servers.basehttp import ThreadedWSGIServer, WSGIRequestHandler

from deliveries import request_ids
from deliveries.management.try_it import ports, words
from deliveries.management.try_it.environment import Place
from deliveries.management.try_it.obstacles import Obstacle
from webhooks_project.patience import PatientSocket

_FIRST_UNPRIVILEGED_PORT = 1024
# RFC 9110, section 8.6. No body is so long that it takes more digits, and Python does not read any number of
# them.
_LENGTH = re.compile(r"[0-9]{1,18}")
# What the parser says of headers that announce several parts, because it looks for those and sees no body.
_OF_BODY = (MultipartInvariantViolationDefect, NoBoundaryInMultipartDefect, StartBoundaryNotFoundDefect)


class WebServer:
    """Serves a WSGI application in threads of this process, on a port that is ours from the beginning."""

    def __init__(self, place: Place) -> None:
        """Take the port.

        :raises Obstacle: it is taken, or not for us.
        """
        try:
            self._server = _Server((place.host, place.port), _Handler, ipv6=":" in place.host)
        except OSError as error:
            raise _obstacle(place, error) from error
        # What the receiver's page tells people to type; only who started the service knows.
        self._server.base_environ["webhooks.hello"] = words.hello(place.data_dir)
        self._closing = threading.Event()

    def start(self, application: WSGIApplication) -> None:
        """Begin to answer."""
        # An answer of 4xx or 5xx is no news: the receiver gives it when it is told to. A crash is.
        logging.getLogger("django.request").addFilter(lambda record: record.exc_info is not None)
        # Nor is a Host header that is not ours: whoever sent it is told, and the terminal is not theirs.
        logging.getLogger("django.security.DisallowedHost").setLevel(logging.CRITICAL)
        self._server.set_app(_Door(application, self._closing))
        threading.Thread(target=self._server.serve_forever, name="web", daemon=True).start()

    def close_to_visitors(self) -> None:
        """Answer nobody but those who deliver to the built-in receiver."""
        self._closing.set()

    def stop(self) -> None:
        """Answer nobody."""
        self._server.shutdown()
        self._server.server_close()


class _Door:
    """The application, until the service stops. Then only the built-in receiver still gets its deliveries."""

    def __init__(self, application: WSGIApplication, closing: threading.Event) -> None:
        self._application = application
        self._closing = closing

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if self._closing.is_set() and not environ["PATH_INFO"].startswith("/demo/receivers/"):
            request_id = request_ids.accepted(environ.get("HTTP_X_REQUEST_ID"))
            headers = [("Content-Length", "0"), ("Retry-After", "10"), (request_ids.HEADER, request_id)]
            start_response("503 Service Unavailable", headers)
            return []
        return self._application(environ, start_response)


class _Server(ThreadedWSGIServer):
    # Bursts of connections wait here instead of being refused.
    request_queue_size = 128

    def server_bind(self) -> None:
        """Bind without the original's look-up of our own name, which takes its time without a network."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]  # type: ignore[assignment]
        self.setup_environ()

    def get_request(self) -> tuple[PatientSocket, Any]:
        """Accept a connection, whose thread is not to wait for its client for ever."""
        connection, address = super().get_request()
        return PatientSocket.instead_of(connection), address


class _Handler(WSGIRequestHandler):
    connection: PatientSocket  # type: ignore[assignment]  # what _Server accepts
    # Headers and body leave in two writes; the second would wait for the client's word on the first.
    disable_nagle_algorithm = True

    def handle(self) -> None:
        """Answer the requests of a connection until either side has enough."""
        # The client has gone, or we have given it up; neither is news.
        with contextlib.suppress(ConnectionError):
            super().handle()

    def handle_one_request(self) -> None:
        """Answer a request. How long its beginning was waited for is not counted against it."""
        self.connection.expect_request()
        self.rfile.peek(1)  # type: ignore[attr-defined]  # it is a BufferedReader
        self.connection.expect_request()
        super().handle_one_request()

    def parse_request(self) -> bool:
        """Read the head, and tell whether there is a request to answer.

        Where nobody can say for sure where a request ends, what follows would be read as another one.
        """
        if not super().parse_request():
            return False
        lengths = self.headers.get_all("Content-Length", [])
        if _distrusted(self.headers) or len(lengths) > 1 or not all(map(_LENGTH.fullmatch, lengths)):
            # Ends the connection, too.
            self.send_error(400)
            return False
        return True

    def get_environ(self) -> WSGIEnvironment:
        """Add the socket, so that the receiver that never answers notices when its sender hangs up."""
        if "Transfer-Encoding" in self.headers:
            # This server reads no chunks, and would take them for the next request.
            self.close_connection = True
        environ: WSGIEnvironment = super().get_environ()
        environ["webhooks.socket"] = self.connection
        return environ

    def log_message(self, *args: object) -> None:
        """Say nothing: a line for each request would bury what matters."""


def _distrusted(headers: Message) -> bool:
    """Tell whether nobody can say what the headers are; that the body's parts are not seen does not count."""
    return any(not isinstance(defect, _OF_BODY) for defect in headers.defects)


def _obstacle(place: Place, error: OSError) -> Obstacle:
    """Return what to say when the port cannot be had."""
    if error.errno == errno.EADDRINUSE:
        free = ports.next_free(place.host, place.port)
        return Obstacle(
            f"Port {place.port} is taken by {ports.holder(place.port)}: "
            f"choose another with `{words.run(place.data_dir, host=place.host, port=free)}`."
        )
    if error.errno == errno.EACCES and place.port < _FIRST_UNPRIVILEGED_PORT:
        return Obstacle(
            f"Port {place.port} is for root only: "
            f"choose another with `{words.run(place.data_dir, host=place.host, port=8010)}`."
        )
    why = (error.strerror or str(error)).lower()
    return Obstacle(
        f"This machine cannot listen on {place.host} ({why}): "
        f"leave HOST out, or use `{words.run(place.data_dir, host='0.0.0.0', port=place.port)}`."  # noqa: S104
    )
