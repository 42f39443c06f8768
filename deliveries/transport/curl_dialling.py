"""Opening a connection without waiting for it: the checks of `dialling`, one step at a time."""

import socket
from collections.abc import Sequence
from contextlib import suppress

from deliveries.addresses import AddressPolicy
from deliveries.reasons import Reason
from deliveries.transport import dialling
from deliveries.transport.base import TransportError


class Dial:
    """Connects to one of a host's first addresses; the policy lets all of them pass.

    Of several addresses that fail, the preferred one gives the reason.
    """

    def __init__(self, found: Sequence[str], port: int, policy: AddressPolicy) -> None:
        """Check the addresses.

        :raises TransportError: BLOCKED_ADDRESS.
        """
        dialling.check_all(found, policy)
        self._left = list(found[: dialling.MAX_TRIED])
        self._port = port
        self._policy = policy
        self._failure: TransportError | None = None
        self.address = ""
        self.connection: socket.socket | None = None
        """On its way to `address`, or connected to it."""

    def begin(self) -> socket.socket:
        """Start to connect to the next address that can be connected to.

        :return: the connection on its way.
        :raises TransportError: there is none.
        """
        while self._left:
            self.address = self._left.pop(0)
            try:
                return self._begin()
            except TransportError as error:
                self._note(error)
        raise TransportError(self._failure.reason if self._failure else Reason.DNS_FAILED)

    def finish(self) -> socket.socket | None:
        """Look at what came of the address, and start with the next one if it failed.

        :return: the connection that is on its way now; None where `connection` stands.
        :raises TransportError: there is no next one.
        """
        assert self.connection is not None  # noqa: S101
        try:
            if number := self.connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                raise dialling.failure(OSError(number, "connecting failed"))
            try:
                dialling.check_ends(self.connection, self.address, self._policy)
            except OSError as error:
                raise dialling.failure(error) from error
        except TransportError as error:
            self._note(error)
            return self.begin()
        return None

    def give_up_address(self) -> socket.socket:
        """Leave an address that takes too long, and start with the next one.

        :return: the connection on its way.
        :raises TransportError: there is no next one.
        """
        self._note(TransportError(Reason.CONNECTION_TIMEOUT))
        return self.begin()

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self.connection is not None:
            self.connection.close()
            self.connection = None

    def _begin(self) -> socket.socket:
        dialling.check_route(self.address, self._port, self._policy)
        try:
            self.connection = connection = socket.socket(dialling.family(self.address))
            connection.setblocking(False)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with suppress(BlockingIOError):
                connection.connect((self.address, self._port))
        except OSError as error:
            raise dialling.failure(error) from error
        return connection

    def _note(self, error: TransportError) -> None:
        self.close()
        if error.reason in dialling.FINAL:
            raise error
        self._failure = self._failure or error
