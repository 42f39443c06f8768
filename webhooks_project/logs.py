"""One JSON object per line: a constant sentence, a stable event name, and ids as fields.

A line of a request carries the request's id, and no line carries what is secret: see `redaction`.
"""

import io
import json
import logging
import logging.config
import re
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from django.conf import settings

from deliveries import request_ids
from webhooks_project.redaction import redact, redact_value

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

# What every record carries by itself; all else came through `extra` and is worth printing.
_STANDARD = frozenset(logging.LogRecord("", 0, "", 0, "", None, None).__dict__) | {
    "message",
    "asctime",
    "taskName",
}

# From the first mark of a quotation to the end.
_QUOTED = re.compile(r"""["'].*""", re.DOTALL)


class JsonFormatter(logging.Formatter):
    """Format a record as JSON, with whatever was passed as `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line; values JSON has no form for are printed as text."""
        line: dict[str, object] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": redact(record.getMessage()),
        }
        if request_id := request_ids.current():
            line["request_id"] = redact(request_id)  # a client may have chosen it
        line.update(
            (name, redact_value(name, value))
            for name, value in record.__dict__.items()
            if name not in _STANDARD
        )
        if record.exc_info:
            line["traceback"] = redact(self.formatException(record.exc_info))
        return json.dumps(line)


class PlainFormatter(logging.Formatter):
    """Format a record for people."""

    def format(self, record: logging.LogRecord) -> str:
        """Return a line, and the traceback below it where there is one."""
        return redact(super().format(record))

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging calls it so
        """Return the line, with the request's id at its end."""
        line, request_id = super().formatMessage(record), request_ids.current()
        return f"{line} [{redact(request_id)}]" if request_id else line


def take_over_gunicorn() -> None:
    """Have gunicorn's own lines look like ours, and hide what ours hide. They go where they went before.

    Gunicorn gives its loggers handlers of their own at start, and anew when it reads its configuration again.
    """
    kind = settings.LOGGING["handlers"]["stderr"]["formatter"]
    maker = logging.config.DictConfigurator(settings.LOGGING)
    for name in ("gunicorn.error", "gunicorn.access"):
        log = logging.getLogger(name)
        if _without_what_was_sent not in log.filters:
            log.addFilter(_without_what_was_sent)
        for handler in log.handlers:
            # From a copy, because making one takes it apart.
            handler.setFormatter(maker.configure_formatter(dict(settings.LOGGING["formatters"][kind])))


def _without_what_was_sent(record: logging.LogRecord) -> bool:
    """Cut what was sent out of the line about a request that is none: no pattern knows a secret there."""
    if str(record.msg).startswith("Invalid request from ip="):
        record.msg = _QUOTED.sub("...", str(record.msg))
    return True


class _Lossy(io.FileIO):
    """A file on a disk that may be full: what finds no room is lost, and nobody is told."""

    def write(self, data: "ReadableBuffer") -> int:
        """Write what there is room for."""
        try:
            return super().write(data)
        except OSError:
            return memoryview(data).nbytes


def lose_what_finds_no_room() -> None:
    """Have this process go on where nothing more can be written to its standard output and error.

    What is buffered for a full disk makes every later flush fail, among them that of a pool which makes a
    child. So nothing is buffered any more.
    """
    for name, descriptor in (("stdout", 1), ("stderr", 2)):
        usual = getattr(sys, name)
        raw = _Lossy(descriptor, "w", closefd=False)
        lossy = io.TextIOWrapper(raw, usual.encoding, errors=usual.errors, write_through=True)
        setattr(sys, name, lossy)
