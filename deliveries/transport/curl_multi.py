"""libcurl's multi interface and the epoll that drives it, with whatever else one thread waits for."""

import logging
import resource
import select
import socket
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field

import pycurl

from deliveries.reasons import Reason
from deliveries.transport.base import TransportError
from deliveries.transport.curl_authorities import Authorities
from deliveries.transport.curl_connections import Connections
from deliveries.transport.curl_handles import Handle

logger = logging.getLogger(__name__)

# Connections kept, whatever their hosts: as many as `requests_engine` may keep. Over TLS each takes 80 KiB.
MAX_KEPT = 2560

_WATCHED = {
    pycurl.POLL_IN: select.EPOLLIN,
    pycurl.POLL_OUT: select.EPOLLOUT,
    pycurl.POLL_INOUT: select.EPOLLIN | select.EPOLLOUT,
}


@dataclass(kw_only=True, slots=True)
class News:
    """What turns have brought."""

    ended: deque[tuple[Handle, int]] = field(default_factory=deque)
    """Handles that are out of libcurl, with its code; 0 where it saw nothing wrong."""
    connected: deque[int] = field(default_factory=deque)
    """Descriptors of connections that stand, or have failed; they are watched no longer."""


class Multi:
    """All handles of a transport, those under way and those that wait for the next exchange."""

    def __init__(self, ca_file: str | None) -> None:
        self._authorities = Authorities(ca_file)
        self._epoll = select.epoll()
        self._bell, self._ringer = socket.socketpair()
        for end in (self._bell, self._ringer):
            end.setblocking(False)
        self._epoll.register(self._bell.fileno(), select.EPOLLIN)
        self._open()

    def _open(self) -> None:
        self._connections = Connections()
        self._all: list[Handle] = []
        self._idle: list[Handle] = []
        self._under_way: dict[pycurl.Curl, Handle] = {}
        self._dialling: set[int] = set()
        self._due_at: float | None = None
        self._limited = False
        self._trouble: BaseException | None = None
        self.used_at = time.monotonic()
        """When an exchange last began or ended."""
        self._multi = pycurl.CurlMulti()
        self._multi.setopt(pycurl.M_MAXCONNECTS, _most_kept())
        self._multi.setopt(pycurl.M_SOCKETFUNCTION, self._on_watch)
        self._multi.setopt(pycurl.M_TIMERFUNCTION, self._on_timer)

    def close(self) -> None:
        """Drop everything."""
        self._close()
        for each in (self._epoll, self._bell, self._ringer, self._authorities):
            each.close()

    def close_connections(self) -> None:
        """Close all that is kept, while nothing is under way; libcurl closes old ones only when used."""
        if self._all:
            self._close()
            self._open()

    def _close(self) -> None:
        for handle in list(self._under_way.values()):
            self.remove(handle)
        self._multi.close()
        # Not before: connections remember the handles that opened them.
        for handle in self._all:
            handle.easy.close()

    def wake(self) -> None:
        """Have the turn that waits, or else the next one, wait no longer. Safe from any thread."""
        with suppress(OSError):  # so full that it rings already; or closed
            self._ringer.send(b"!")

    def take_handle(self) -> Handle:
        """Return a handle that nobody uses, until it is given back.

        :raises TransportError: NO_RESOURCES for another one.
        """
        if self._idle:
            return self._idle.pop()
        try:
            handle = Handle(self._authorities.path, self._connections)
        except (MemoryError, pycurl.error) as error:
            raise TransportError(Reason.NO_RESOURCES) from error
        self._all.append(handle)
        return handle

    def give_back(self, handle: Handle) -> None:
        """Keep a handle for the next exchange."""
        handle.unload()
        self._idle.append(handle)

    def add(self, handle: Handle, *, without_idle: bool = False) -> None:
        """Have libcurl begin with a handle.

        :param without_idle: close all idle connections to begin with.
        """
        self.used_at = time.monotonic()
        if without_idle or self._limited:
            # A new connection beyond this number has idle ones closed first, the oldest before all others.
            self._limited = without_idle
            limit = len(self._under_way) + 1 if without_idle else 0
            self._multi.setopt(pycurl.M_MAX_TOTAL_CONNECTIONS, limit)
        self._multi.add_handle(handle.easy)
        self._under_way[handle.easy] = handle

    def remove(self, handle: Handle) -> None:
        """Take a handle out of libcurl; its connection is closed, unless its exchange had come to an end."""
        if self._under_way.pop(handle.easy, None) is not None:
            self.used_at = time.monotonic()
            self._multi.remove_handle(handle.easy)
            handle.conclude()

    def watch(self, connection: socket.socket) -> None:
        """Tell when a connection on its way stands or has failed."""
        self._epoll.register(connection.fileno(), select.EPOLLOUT)
        self._dialling.add(connection.fileno())

    def unwatch(self, connection: socket.socket) -> None:
        """Forget a connection on its way."""
        if connection.fileno() in self._dialling:
            self._dialling.discard(connection.fileno())
            self._epoll.unregister(connection.fileno())

    def turn(self, news: News, *, until: float) -> None:
        """Do what is to be done, waiting until that moment at most for something to do."""
        self._raise_trouble()
        now = time.monotonic()
        if self._due_at is not None:
            until = min(until, self._due_at)
        for fd, events in self._epoll.poll(max(0.0, until - now)):
            if fd == self._bell.fileno():
                with suppress(OSError):
                    self._bell.recv(4096)
            elif fd in self._dialling:
                self._dialling.discard(fd)
                self._epoll.unregister(fd)
                news.connected.append(fd)
            else:
                self._multi.socket_action(fd, _actions(events))
        if self._due_at is not None and time.monotonic() >= self._due_at:
            self._multi.socket_action(pycurl.SOCKET_TIMEOUT, 0)
            # It tells of changes only, and may not have been done with all that was due.
            self._on_timer(self._multi.timeout())
        self._note_ended(news)

    def _note_ended(self, news: News) -> None:
        more = True
        while more:
            left, well, badly = self._multi.info_read()
            more = bool(left)
            for easy, code in [(easy, 0) for easy in well] + [(easy, code) for easy, code, _ in badly]:
                handle = self._under_way[easy]
                self.remove(handle)
                news.ended.append((handle, code))

    def _on_watch(self, event: int, fd: int, multi: object, data: object) -> None:
        try:
            if event == pycurl.POLL_REMOVE:
                with suppress(OSError):  # closed already, or never watched
                    self._epoll.unregister(fd)
                return
            try:
                self._epoll.register(fd, _WATCHED[event])
            except FileExistsError:
                self._epoll.modify(fd, _WATCHED[event])
        except BaseException as error:
            self._trouble = error

    def _on_timer(self, milliseconds: int) -> None:
        try:
            self._due_at = None if milliseconds < 0 else time.monotonic() + milliseconds / 1000
        except BaseException as error:
            self._trouble = error

    def _raise_trouble(self) -> None:
        """Raise what one of our callbacks raised, which pycurl would print, and forget."""
        trouble, self._trouble = self._trouble, None
        if isinstance(trouble, Exception):
            # Only its own exchange comes too late for it.
            logger.error(
                "A connection cannot be watched", extra={"event": "exchange.failed"}, exc_info=trouble
            )
        elif trouble is not None:
            raise trouble


def _most_kept() -> int:
    """Return how many connections to keep, of which most are idle: all else needs files, too."""
    most_files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MAX_KEPT if most_files == resource.RLIM_INFINITY else min(MAX_KEPT, most_files // 4)


def _actions(events: int) -> int:
    """Return what libcurl calls what the kernel says of a connection."""
    actions = 0
    if events & select.EPOLLIN:
        actions |= pycurl.CSELECT_IN
    if events & select.EPOLLOUT:
        actions |= pycurl.CSELECT_OUT
    if events & ~(select.EPOLLIN | select.EPOLLOUT):
        actions |= pycurl.CSELECT_ERR
    return actions
