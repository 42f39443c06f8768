"""A receiver on the loopback interface that behaves as badly as asked: real sockets, one thread each."""

import gzip
import select
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from itertools import chain, repeat

HEAD_END = b"\r\n\r\n"
OK_HEAD = b"HTTP/1.1 200 OK\r\n"
OK = OK_HEAD + b"Content-Length: 2\r\n\r\nok"
REDIRECT = b"HTTP/1.1 302 Found\r\nLocation: %b\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
HUGE = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n"

_BLOCK = 64 * 1024
# What the kernel keeps for a client that does not come to read: a new connection's buffers, which it doubles
# once somebody has read from them (260 KiB in all were seen on a machine with four processes for two cores).
KERNEL = 448 * 1024
# Bytes poured at once, and seconds between two times.
_STEP = 4 * 1024
_STEP_PAUSE = 0.002
# Seconds until a receiver that waits for nothing looks whether it is to stop.
_LOOK = 0.1
# Seconds between two drips: many of them fit into the deadlines of the tests.
_DRIP = 0.03


class Conversation:
    """One accepted connection, as a behaviour sees it."""

    def __init__(self, connection: socket.socket, receiver: "Receiver") -> None:
        self.connection = connection
        self.receiver = receiver
        self.sent = 0
        """Bytes of answers that our side of the connection has taken."""
        self.was_reset = False
        self.over = threading.Event()
        """The behaviour has come to its end, or the client has hung up on it."""
        self.began = time.monotonic()
        self.lasted = 0.0
        """Seconds from then until it was over."""

    def read_request(self) -> bytes:
        """Return the next request whole, and note it; EOFError when the client has hung up."""
        request = b""
        while HEAD_END not in request:
            request += self._read()
        head, _, body = request.partition(HEAD_END)
        missing = _content_length(head) - len(body)
        parts = [request]
        while missing > 0:
            parts.append(self._read())
            missing -= len(parts[-1])
        self.receiver.requests.append(b"".join(parts))
        return self.receiver.requests[-1]

    def _read(self) -> bytes:
        part = self.connection.recv(_BLOCK)
        if not part:
            raise EOFError
        return part

    def send(self, data: bytes) -> None:
        left = memoryview(data)
        while left:
            taken = self.connection.send(left)
            self.sent += taken
            left = left[taken:]

    def until_hung_up(self) -> None:
        """Wait for the client to hang up, whatever it has sent that nobody has read."""
        poller = select.poll()
        poller.register(self.connection, select.POLLRDHUP)
        while not self.receiver.stopping.is_set() and not poller.poll(_LOOK * 1000):
            pass

    def reset(self) -> None:
        """Close with a TCP reset instead of an orderly end."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.was_reset = True


Behaviour = Callable[[Conversation], None]


class Receiver:
    """A listener whose connections all get the same behaviour. Counts what reaches it."""

    def __init__(
        self,
        behaviour: Behaviour,
        tls: ssl.SSLContext | None,
        address: str,
        port: int,
        handshake_delay: float,
    ) -> None:
        self.requests: list[bytes] = []
        self.accepted = 0
        self.conversations: list[Conversation] = []
        self.stopping = threading.Event()
        self._behaviour = behaviour
        self._tls = tls
        self._address = address
        self._handshake_delay = handshake_delay
        self._connections: list[tuple[threading.Thread, socket.socket]] = []
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._listener = socket.create_server((address, port), family=family, backlog=64)
        self.port: int = self._listener.getsockname()[1]
        self._acceptor = threading.Thread(target=self._accept)
        self._acceptor.start()

    def url(self, host: str | None = None, path: str = "/hook") -> str:
        literal = f"[{self._address}]" if ":" in self._address else self._address
        return f"{'https' if self._tls else 'http'}://{host or literal}:{self.port}{path}"

    def stop(self) -> None:
        self.stopping.set()
        # Closing alone does not wake a thread that waits in accept or recv.
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._acceptor.join()
        self._listener.close()
        for thread, connection in self._connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            thread.join()
            connection.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.accepted += 1
            thread = threading.Thread(target=self._converse, args=(connection,))
            self._connections.append((thread, connection))
            thread.start()

    def _converse(self, connection: socket.socket) -> None:
        with suppress(OSError, EOFError):
            if self._tls is None:
                self._behave(connection)
                connection.close()
                return
            self.stopping.wait(self._handshake_delay)
            # A duplicate, so that `stop` can still shut the connection down.
            with self._tls.wrap_socket(connection.dup(), server_side=True) as encrypted:
                conversation = self._behave(encrypted)
            if conversation.was_reset:  # it takes effect with the last duplicate
                connection.close()
                return
        with suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)

    def _behave(self, connection: socket.socket) -> Conversation:
        conversation = Conversation(connection, self)
        self.conversations.append(conversation)
        try:
            self._behaviour(conversation)
        finally:
            conversation.lasted = time.monotonic() - conversation.began
            conversation.over.set()
        return conversation


@contextmanager
def receiver(
    behaviour: Behaviour,
    *,
    tls: ssl.SSLContext | None = None,
    address: str = "127.0.0.1",
    port: int = 0,
    handshake_delay: float = 0,
) -> Iterator[Receiver]:
    """Run a receiver for the length of a with block."""
    running = Receiver(behaviour, tls, address, port, handshake_delay)
    try:
        yield running
    finally:
        running.stop()


def answering(*answers: bytes) -> Behaviour:
    """Keep the connection and give these answers in turn, the last one again and again."""

    def behave(conversation: Conversation) -> None:
        for answer in chain(answers, repeat(answers[-1])):
            conversation.read_request()
            conversation.send(answer)

    return behave


def answering_once(answer: bytes) -> Behaviour:
    """Give one answer and close the connection."""

    def behave(conversation: Conversation) -> None:
        conversation.read_request()
        conversation.send(answer)

    return behave


def echoing(conversation: Conversation) -> None:
    """Answer every request with itself."""
    while True:
        request = conversation.read_request()
        conversation.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(request), request))


def trickling(start: bytes, drip: bytes, *, every: float = _DRIP) -> Behaviour:
    """Begin an answer and go on drop by drop, without end; with `every` seconds between two drips."""

    def behave(conversation: Conversation) -> None:
        conversation.read_request()
        conversation.send(start)
        while not conversation.receiver.stopping.wait(every):
            conversation.send(drip)

    return behave


def flooding(start: bytes, blocks: Iterable[bytes]) -> Behaviour:
    """Begin an answer and go on as fast as the client reads."""

    def behave(conversation: Conversation) -> None:
        conversation.read_request()
        conversation.send(start)
        for block in blocks:
            conversation.send(block)

    return behave


def pouring(start: bytes, blocks: Iterable[bytes]) -> Behaviour:
    """Begin an answer and go on in small steps, so that little lies in the kernel that nobody reads.

    What our side of the connection has taken is then nearly what the client has read, as long as the machine
    lets the client run; at worst it is what the kernel keeps for it besides.
    """

    def behave(conversation: Conversation) -> None:
        conversation.connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        conversation.read_request()
        conversation.send(start)
        for block in blocks:
            for at in range(0, len(block), _STEP):
                if conversation.receiver.stopping.wait(_STEP_PAUSE):
                    return
                conversation.send(block[at : at + _STEP])

    return behave


def silent(conversation: Conversation) -> None:
    """Take the request and never answer."""
    conversation.read_request()
    conversation.until_hung_up()


def not_reading(conversation: Conversation) -> None:
    """Accept the connection and read nothing, so that the client's sending comes to a halt."""
    conversation.until_hung_up()


def sipping(conversation: Conversation) -> None:
    """Read a request so slowly that every single send succeeds and all of them together never do."""
    while not conversation.receiver.stopping.wait(_DRIP):
        conversation.connection.recv(_BLOCK)


def hesitating(conversation: Conversation) -> None:
    """Wait a little before reading a large request, and answer it."""
    conversation.receiver.stopping.wait(0.3)
    conversation.read_request()
    conversation.send(OK)


def trickling_handshake(conversation: Conversation) -> None:
    """Begin a TLS handshake record of 16 KiB and send it drop by drop. For receivers without TLS."""
    conversation.send(b"\x16\x03\x03\x40\x00\x02")
    while not conversation.receiver.stopping.wait(_DRIP):
        conversation.send(b"\x00")


def relaying_slowly(target: "Receiver", begun: Callable[[], bool]) -> Behaviour:
    """Pass a connection on to another receiver; once `begun`, its answers byte by byte.

    That cuts TLS records into pieces, which no server with an ordinary TLS library does.
    """

    def behave(conversation: Conversation) -> None:
        def forward() -> None:
            with suppress(OSError):
                while part := conversation.connection.recv(_BLOCK):
                    onward.sendall(part)

        with socket.create_connection(("127.0.0.1", target.port)) as onward:
            threading.Thread(target=forward, daemon=True).start()
            while part := onward.recv(_BLOCK):
                for at in range(len(part)):
                    if begun() and conversation.receiver.stopping.wait(_DRIP):
                        return
                    conversation.send(part[at : at + 1])

    return behave


def resetting(conversation: Conversation) -> None:
    """Take the request and reset the connection."""
    conversation.read_request()
    conversation.reset()


def hanging_up(conversation: Conversation) -> None:
    """Take the request and close the connection."""
    conversation.read_request()


def serving_once_then(ending: Behaviour) -> Behaviour:
    """Answer the first request of a connection and meet the second one with `ending`."""

    def behave(conversation: Conversation) -> None:
        conversation.read_request()
        conversation.send(OK)
        ending(conversation)

    return behave


def going_stale_together(count: int) -> Behaviour:
    """Answer the first requests only when so many connections are open, and reset each at its second one."""
    together, all_open = threading.Barrier(count), threading.Event()

    def behave(conversation: Conversation) -> None:
        conversation.read_request()
        if not all_open.is_set():
            together.wait(timeout=5)
            all_open.set()
        conversation.send(OK)
        resetting(conversation)

    return behave


def closing_when_idle(conversation: Conversation) -> None:
    """Answer one request, keep the connection for 0.2 s more, and close it."""
    conversation.read_request()
    conversation.send(OK)
    conversation.receiver.stopping.wait(0.2)


def endless(block: bytes = b"x" * _BLOCK) -> Iterable[bytes]:
    return repeat(block)


def endless_chunks() -> Iterable[bytes]:
    return repeat(b"%x\r\n%b\r\n" % (_BLOCK, b"x" * _BLOCK))


def gzip_bomb() -> Iterable[bytes]:
    """A gzip stream of about 1:1000 that expands to 400 MB."""
    return repeat(_bomb(), 100)


@cache
def _bomb() -> bytes:
    return gzip.compress(bytes(4 * 1024 * 1024))


def _content_length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0
