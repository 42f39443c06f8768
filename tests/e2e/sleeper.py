"""A WSGI application that reads its request, thinks for a while, and then has much to say."""

import time
from collections.abc import Iterable
from wsgiref.types import StartResponse, WSGIEnvironment

THINKING = 1.5
# More than the kernel takes off our hands before the client reads.
ANSWER = b"x" * 16_000_000


def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer, after a time, to who sent something."""
    status = "200 OK" if environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])) else "400 Bad Request"
    time.sleep(THINKING)
    start_response(status, [("Content-Length", str(len(ANSWER)))])
    return [ANSWER]
