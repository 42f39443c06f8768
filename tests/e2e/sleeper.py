"""A WSGI application that reads its request, thinks for a while, and then answers."""

import time
from collections.abc import Iterable
from wsgiref.types import StartResponse, WSGIEnvironment

THINKING = 1.5


def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer with the body, after its time."""
    body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
    time.sleep(THINKING)
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
