"""A name server on the loopback interface that answers as told, or not at all."""

import ipaddress
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

A, CNAME, AAAA = 1, 5, 28
NO_ERROR, SERVER_FAILURE, NO_SUCH_NAME = 0, 2, 3
_INTERNET, _TTL = 1, 0
_QUESTION_NAME = b"\xc0\x0c"  # a pointer to where the question begins
_HEADER = struct.Struct("!6H")

Answer = Sequence[str] | int | None
"""Addresses, of which a question gets those of its kind; an error; or silence."""

Zone = Callable[[str, int], Answer]
"""Gives the answer for a name, and how often this name was asked for before (its IPv6 addresses apart)."""


class NameServer:
    """A name server. Answers hold for no time at all, and every name is an alias of another."""

    def __init__(self, zone: Zone, address: str, port: int) -> None:
        self._zone = zone
        self._asked: Counter[tuple[str, int]] = Counter()
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((address, port))
        self.port: int = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Answer nobody any more."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.sendto(b"", self._socket.getsockname())
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while True:
            query, client = self._socket.recvfrom(512)
            if not query:
                return
            name, kind, end = _question(query)
            answer = self._zone(name, self._asked[name, kind])
            self._asked[name, kind] += 1
            if answer is not None:
                self._socket.sendto(_response(query[:end], name, kind, answer), client)


@contextmanager
def name_server(zone: Zone, *, address: str = "127.0.0.1", port: int = 0) -> Iterator[NameServer]:
    """Run a name server for the length of a with block."""
    running = NameServer(zone, address, port)
    try:
        yield running
    finally:
        running.stop()


def ask(port: int, name: str) -> Sequence[str]:
    """Return the addresses of a name: what a C library would do, in few lines and without its settings.

    :raises OSError: the name server answered with an error, or not within 2 s.
    """
    found = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(2)
        for kind in (A, AAAA):
            labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
            query = _HEADER.pack(kind, 0x0100, 1, 0, 0, 0) + labels + struct.pack("!BHH", 0, kind, _INTERNET)
            client.sendto(query, ("127.0.0.1", port))
            found += _addresses(client.recv(512), len(query))
    return found


def _question(query: bytes) -> tuple[str, int, int]:
    """Return the name and the kind that are asked for, and where the question ends."""
    labels, at = [], _HEADER.size
    while length := query[at]:
        labels.append(query[at + 1 : at + 1 + length].decode())
        at += 1 + length
    (kind,) = struct.unpack_from("!H", query, at + 1)
    return ".".join(labels).lower(), kind, at + 5


def _response(question: bytes, name: str, kind: int, answer: Sequence[str] | int) -> bytes:
    """Return the response to a query cut behind its question."""
    error, records = (answer, b"") if isinstance(answer, int) else (NO_ERROR, b"")
    count = 0
    if not isinstance(answer, int):
        alias = b"\x05alias" + _QUESTION_NAME
        records = _QUESTION_NAME + struct.pack("!HHIH", CNAME, _INTERNET, _TTL, len(alias)) + alias
        owner = struct.pack("!H", 0xC000 | len(question) + 12)  # the alias, where it stands in the record
        for address in map(ipaddress.ip_address, answer):
            if kind == (A if address.version == 4 else AAAA):
                packed = address.packed
                records += owner + struct.pack("!HHIH", kind, _INTERNET, _TTL, len(packed)) + packed
                count += 1
        count += 1
    return question[:2] + struct.pack("!5H", 0x8180 | error, 1, count, 0, 0) + question[12:] + records


def _addresses(response: bytes, at: int) -> list[str]:
    """Return the addresses in a response whose answers begin at `at`."""
    _, flags, _, count, _, _ = _HEADER.unpack_from(response)
    if flags & 0xF:
        raise OSError(f"name server error {flags & 0xF}")
    found = []
    for _ in range(count):
        kind, _, _, length = struct.unpack_from("!HHIH", response, at + 2)  # every owner is a pointer
        data = response[at + 12 : at + 12 + length]
        if kind in (A, AAAA):
            found.append(str(ipaddress.ip_address(data)))
        at += 12 + length
    return found
