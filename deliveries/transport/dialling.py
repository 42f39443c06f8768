"""Opening a connection: look the name up, check every address, connect to one that was checked."""

import socket
import time
from collections.abc import Sequence

from deliveries import addresses
from deliveries.addresses import AddressBlocked, AddressPolicy
from deliveries.reasons import Reason
from deliveries.transport.base import TransportError
from deliveries.transport.calls import Call
from deliveries.transport.shortages import is_shortage
from deliveries.transport.sockets import DeadlineSocket

# Seconds for one address; a name has several so that the next can be tried, and so many are.
CONNECT_LIMIT = 3.0
MAX_TRIED = 4

# With these no other address need be tried.
FINAL = (Reason.BLOCKED_ADDRESS, Reason.NO_RESOURCES)


def dial(host: str, port: int, call: Call) -> DeadlineSocket:
    """Return a socket connected to one of a host's first addresses; the call's policy lets all of them pass.

    :raises TransportError: NO_RESOURCES, DNS_FAILED, BLOCKED_ADDRESS, CONNECTION_REFUSED (also for no route)
        or CONNECTION_TIMEOUT; of several addresses that fail, the preferred one gives the reason.
    """
    first = None
    found = (host,) if addresses.as_address(host) else _look_up(host, call)
    check_all(found, call.policy)
    began_at = time.monotonic()
    for address in found[:MAX_TRIED]:
        call.trace.remote_address = address
        try:
            connection = _connect(address, port, call)
            call.trace.connect = time.monotonic() - began_at
            return connection
        except TransportError as error:
            if error.reason in FINAL:
                raise
            first = first or error
    raise first or TransportError(Reason.DNS_FAILED)


def _look_up(name: str, call: Call) -> tuple[str, ...]:
    began_at = time.monotonic()
    found = call.resolver.addresses(name, within=_time_left(call))
    call.trace.dns = time.monotonic() - began_at
    return found


def check_all(found: Sequence[str], policy: AddressPolicy) -> None:
    """Check every address before the first connect: a name that mixes public and private ones is an attack.

    :raises TransportError: BLOCKED_ADDRESS.
    """
    try:
        for address in found:
            addresses.check_address(address, policy)
    except AddressBlocked as error:
        raise TransportError(Reason.BLOCKED_ADDRESS) from error


def _connect(address: str, port: int, call: Call) -> DeadlineSocket:
    check_route(address, port, call.policy)
    try:
        connection = DeadlineSocket(family(address))
    except OSError as error:
        raise failure(error) from error
    try:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.settimeout(min(CONNECT_LIMIT, _time_left(call)))
        connection.connect((address, port))
        check_ends(connection, address, call.policy)
    except OSError as error:
        connection.close()
        raise failure(error) from error
    except TransportError:
        connection.close()
        raise
    return connection


def check_route(address: str, port: int, policy: AddressPolicy) -> None:
    """Make sure, before anything is sent, that the address does not lead to this very machine.

    Once connected it is too late: an open port would be told from a closed one by its reason.

    :raises TransportError: BLOCKED_ADDRESS, or NO_RESOURCES to find that out.
    """
    try:
        with socket.socket(family(address), socket.SOCK_DGRAM) as probe:
            # Over UDP this sends no packet: the kernel settles which address it would send from.
            probe.connect((address, port))
            source = probe.getsockname()[0]
    except OSError as error:
        if is_shortage(error):
            raise failure(error) from error
        return  # no route, perhaps: connecting will tell, and `check_ends` looks again
    _check_source(source, address, policy)


def check_ends(connection: socket.socket, address: str, policy: AddressPolicy) -> None:
    """Make sure that we are connected to the address that was checked, and not to this very machine.

    :raises TransportError: BLOCKED_ADDRESS.
    """
    if addresses.as_address(connection.getpeername()[0]) != addresses.as_address(address):
        raise TransportError(Reason.BLOCKED_ADDRESS)
    _check_source(connection.getsockname()[0], address, policy)


def _check_source(source: str, address: str, policy: AddressPolicy) -> None:
    """Make sure that what leads to an address does not begin there.

    A public address of our own is let pass by any table, and leads behind our own firewall.

    :raises TransportError: BLOCKED_ADDRESS.
    """
    target = addresses.as_address(address)
    if target is None or (target == addresses.as_address(source) and not policy.allows_expressly(target)):
        raise TransportError(Reason.BLOCKED_ADDRESS)


def family(address: str) -> socket.AddressFamily:
    """Return the family of an address that has been checked."""
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def _time_left(call: Call) -> float:
    try:
        return call.remaining()
    except TimeoutError as error:
        raise TransportError(Reason.CONNECTION_TIMEOUT) from error


def failure(error: OSError) -> TransportError:
    """Return why there is no connection, after an error of one of its calls."""
    if is_shortage(error):
        return TransportError(Reason.NO_RESOURCES)
    timed_out = isinstance(error, TimeoutError)
    return TransportError(Reason.CONNECTION_TIMEOUT if timed_out else Reason.CONNECTION_REFUSED)
