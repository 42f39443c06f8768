"""An attempt as a command that makes the same request."""

import base64
import re
import shlex
from collections.abc import Iterator

from deliveries.headers import MASK
from deliveries.models import Attempt

# What a shell takes in quotes as it stands.
_PLAIN = re.compile(r"[^\x00-\x08\x0b-\x1f\x7f]*")


def command(attempt: Attempt, body: bytes) -> str:
    """Return a command for a POSIX shell that sends what the attempt sent, byte for byte.

    What is masked is not known here: a variable of the shell stands for it, which whoever runs it sets. The
    signature is the one that was sent; a receiver may refuse it for its age.
    """
    return " \\\n  ".join([f"{_printed(body)} | curl -sS -i -X {attempt.http_method}", *_options(attempt)])


def _options(attempt: Attempt) -> Iterator[str]:
    for name, value in attempt.request_headers.items():
        if value == MASK:
            # No variable begins with a digit.
            variable = re.sub(r"^(?=[0-9])|[^A-Z0-9]", "_", name.upper())
            yield f'-H {shlex.quote(f"{name}: ")}"${{{variable}:?}}"'
        else:
            yield f"-H {shlex.quote(f'{name}: {value}')}"
    yield "--data-binary @-"
    yield shlex.quote(attempt.url)


def _printed(body: bytes) -> str:
    """Return what writes these bytes, and no line end behind them."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        text = "\0"
    if _PLAIN.fullmatch(text):
        return f"printf %s {shlex.quote(text)}"
    return f"printf %s {base64.b64encode(body).decode()} | base64 -d"
