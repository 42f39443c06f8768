"""One JSON object per line: a constant sentence, a stable event name, and ids as fields."""

import json
import logging
from datetime import UTC, datetime

# What every record carries by itself; all else came through `extra` and is worth printing.
_STANDARD = frozenset(logging.LogRecord("", 0, "", 0, "", None, None).__dict__) | {
    "message",
    "asctime",
    "taskName",
}


class JsonFormatter(logging.Formatter):
    """Format a record as JSON, with whatever was passed as `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line; values JSON has no form for are printed as text."""
        line: dict[str, object] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        line.update((name, value) for name, value in record.__dict__.items() if name not in _STANDARD)
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)
