"""A WSGI application that says which path it was asked for, and closes no connection."""

from collections.abc import Iterable
from wsgiref.types import StartResponse, WSGIEnvironment


def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer with the path, whatever comes with the request."""
    answer = f"You asked for {environ['PATH_INFO']}.".encode()
    start_response("200 OK", [("Content-Length", str(len(answer)))])
    return [answer]
