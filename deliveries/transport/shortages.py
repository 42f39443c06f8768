"""Whether it is this machine that has no files, sockets or memory left: its receivers did nothing wrong."""

import errno
import socket

_ERRORS = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))


def is_shortage(error: OSError) -> bool:
    """Tell whether an error that met a connection or a lookup says that this machine has none to give.

    A resolver that can open neither socket nor file says in some words or other that the name has no answer.
    So of those errors it is asked whether a socket could be opened now.
    """
    if isinstance(error, socket.gaierror):
        return not _can_open_a_socket()
    return error.errno in _ERRORS


def _can_open_a_socket() -> bool:
    try:
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM).close()
    except OSError as error:
        return error.errno not in _ERRORS
    return True
