"""How gunicorn serves: `--worker-class webhooks_project.web.Worker`."""

import select
import selectors
import socket
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from gunicorn.workers.gthread import TConn, ThreadWorker

from deliveries import garbage
from deliveries.checks import is_local
from webhooks_project import logs, patience, starting
from webhooks_project.fewest import Counts
from webhooks_project.patience import PatientSocket

# Seconds that a process with more connections than another leaves a new one to that.
_LEAVE = 0.002
# Seconds that a thread stays with a connection for its next request.
_STAY = 0.005


class Worker(ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    """Gunicorn's threads, of which a slow client holds one, and only for a time.

    Gunicorn's own wait for as long as a client likes. Connections without TLS only: the proxy speaks that.
    """

    counts = Counts()
    # The moment of the monotonic clock until which new connections are left to others.
    _accept_at = 0.0

    @classmethod
    def setup(cls) -> None:
        """Take over gunicorn's log. Called at start and when gunicorn reads its configuration again.

        :raises RuntimeError: a setting makes no sense.
        """
        # Gunicorn calls this before it loads what it serves.
        starting.as_web_server()
        try:
            logs.take_over_gunicorn()
        except ImproperlyConfigured as error:
            raise RuntimeError(str(error)) from error

    @classmethod
    def check_config(cls, cfg: Any, log: Any) -> None:
        """Stop the start where gunicorn is to speak TLS itself.

        And where debug pages would be shown to other machines.

        :raises RuntimeError: because a patient socket in the place of an encrypted one would not be one; and
            because of the pages.
        """
        if cfg.is_ssl:
            raise RuntimeError("This worker knows no TLS: leave --certfile and --keyfile to the proxy.")
        _check_binds(cfg.address)
        super().check_config(cfg, log)

    def run(self) -> None:
        """Serve until told to stop."""
        garbage.spare_what_stays()
        super().run()

    def notify(self) -> None:
        """Say that this process lives, and how many connections it has, if it takes any."""
        super().notify()
        if self.alive:
            self.counts.tell(self.age, self.nr_conns)
        else:
            self.counts.leave(self.age)

    def accept(self, listener: socket.socket) -> None:
        """Take a new connection, or leave it for a moment to a process that has fewer."""
        now, fewest = time.monotonic(), self.counts.fewest_of_others(self.age)
        # Who is there still after that moment is taken.
        was_left = now < self._accept_at + _LEAVE
        if fewest is not None and fewest < self.nr_conns and not was_left:
            self._accept_at = now + _LEAVE
            self.set_accept_enabled(False)
            return
        super().accept(listener)
        self.counts.tell(self.age, self.nr_conns)

    def set_accept_enabled(self, enabled: bool) -> None:
        """Listen or not; not while a connection is left to others. Asked again before each wait."""
        super().set_accept_enabled(enabled and time.monotonic() >= self._accept_at)

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        """Wait for connections and serve them, until it is time to listen again at the latest."""
        left = self._accept_at - time.monotonic()
        super().wait_for_and_dispatch_events(min(timeout, left) if left > 0 else timeout)

    def enqueue_req(self, conn: TConn) -> None:
        """Have a thread serve a connection. A new one waits for its first byte without a thread."""
        if isinstance(conn.sock, PatientSocket):
            conn.sock.expect_request()
            super().enqueue_req(conn)
        else:
            conn.sock = PatientSocket.instead_of(conn.sock)
            self._wait_for_first_byte(conn)

    def handle(self, conn: TConn) -> object:
        """Serve a request, in a thread of its own, and those that follow at once.

        Tell whether the connection stays open.
        """
        stays_open: object = super().handle(conn)
        while stays_open is True and self._is_asked_again(conn):
            conn.sock.expect_request()
            stays_open = super().handle(conn)
        if not stays_open:
            # Gunicorn does it too, but in the thread that accepts everybody's connections.
            conn.sock.linger()
        return stays_open

    def _is_asked_again(self, conn: TConn) -> bool:
        """Wait a moment for the next request, as long as there are no more connections than threads.

        Whoever keeps asking is answered without the way through the thread that looks after all connections.
        """
        if not self.alive or self.nr_conns > self.cfg.threads:
            return False
        if conn.parser.unreader.buf.getvalue():
            # It came together with the one before, and has been read already.
            return True
        news = select.poll()
        news.register(conn.sock, select.POLLIN)
        return bool(news.poll(_STAY * 1000))

    def _wait_for_first_byte(self, conn: TConn) -> None:
        # As gunicorn itself does it with those who sent nothing while a thread waited.
        conn.timeout = time.monotonic() + patience.LIMIT
        self.pending_conns.append(conn)
        readable = partial(self.on_pending_socket_readable, conn)
        self.poller.register(conn.sock, selectors.EVENT_READ, readable)


def _check_binds(binds: Sequence[tuple[str, int] | str | int]) -> None:
    """Look at what gunicorn listens on; what is no pair of host and port is a file or an open one.

    :raises RuntimeError: it is more than this machine, and DEBUG is on.
    """
    others = [bind[0] for bind in binds if isinstance(bind, tuple) and not is_local(bind[0])]
    if others and settings.DEBUG:
        raise RuntimeError(f"DEBUG is on and --bind is {others[0]}: set DEBUG=false, or bind to 127.0.0.1.")
