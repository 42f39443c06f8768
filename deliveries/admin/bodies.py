"""Bodies on a page: what was sent and what came back, always as text."""

import io
import json
from typing import Any, ClassVar

from django.http import HttpRequest
from django.template.loader import render_to_string
from django.utils.safestring import SafeString

from deliveries.transport import KEEP_LIMIT

# Characters shown of a body.
SHOWN = 64 * 1024
PERMISSION = "deliveries.view_bodies"

_ENCODER = json.JSONEncoder(indent=2, ensure_ascii=False)


class WithBodies:
    """For a ModelAdmin whose rows hold bodies: they are there for those who may see them."""

    # The fields that show one.
    bodies: ClassVar[tuple[str, ...]]

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Leave the bodies out for everybody else."""
        fields = super().get_fields(request, obj)  # type: ignore[misc]  # the ModelAdmin's
        if request.user.has_perm(PERMISSION):
            return fields
        return [field for field in fields if field not in self.bodies]


def render(body: bytes | memoryview | None) -> SafeString:
    """Return a body as escaped, preformatted text: indented where it is JSON, and cut where it is long."""
    return _render(body, kept=None)


def render_answer(body: bytes | memoryview | None) -> SafeString:
    """Return what a receiver sent back the same way, and say where not all of it was kept."""
    cut = body is not None and len(body) >= KEEP_LIMIT
    return _render(body, kept=f"{KEEP_LIMIT // 1024} KiB" if cut else None)


def _render(body: bytes | memoryview | None, *, kept: str | None) -> SafeString:
    text = readable(bytes(body)) if body is not None else None
    cut = text is not None and len(text) > SHOWN
    return render_to_string(
        "admin/deliveries/body.html", {"text": text and text[:SHOWN], "cut": cut, "kept": kept}
    )


def render_json(value: object) -> SafeString:
    """Return a JSON value the same way."""
    return render(None if value is None else json.dumps(value).encode())


def readable(body: bytes) -> str:
    """Return a body as text, indented where it is JSON."""
    text = body.decode(errors="replace")
    try:
        text = _indented(json.loads(text))
    except (ValueError, RecursionError):
        return text
    # JSON can spell out half a surrogate pair, which no page can be encoded with.
    return text.encode(errors="backslashreplace").decode()


def _indented(value: object) -> str:
    """Return the beginning of it; a few deep brackets would make megabytes of indentation."""
    text = io.StringIO()
    for chunk in _ENCODER.iterencode(value):
        text.write(chunk)
        if text.tell() > SHOWN:
            break
    return text.getvalue()
