"""Conditional requests: nobody reads again what has not changed, or overwrites what has.

RFC 9110, section 13, for resources with a strong entity tag. The tag is computed from the representation, so
it is right whatever changed the row. It is a strong one because `If-Match` compares strongly: a weak tag
would never match there.
"""

import hashlib
import re
from collections.abc import Mapping
from typing import Any

from rest_framework import status
from rest_framework.exceptions import APIException
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

_SAFE = ("GET", "HEAD")
_WEAK = "W/"
# RFC 9110, 8.8.3 and 5.6.1: tags with commas and white space between them, and perhaps commas for nothing.
_TAG = re.compile(r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"')
_TAGS = re.compile(rf"[ \t,]*{_TAG.pattern}(?:[ \t]*,[ \t,]*{_TAG.pattern})*[ \t,]*")


class PreconditionFailed(APIException):
    """The resource is not as the request wants it to be; nothing was done."""

    status_code = status.HTTP_412_PRECONDITION_FAILED
    default_code = "precondition_failed"
    default_detail = "The resource has changed since it was read, or is not the one that is wanted."


def entity_tag(representation: Mapping[str, Any]) -> str:
    """Return the strong entity tag of what a GET of the resource shows."""
    digest = hashlib.sha256(JSONRenderer().render(representation)).hexdigest()
    return f'"{digest[:32]}"'


def answer(request: Request, body: Mapping[str, Any], *, tag: str) -> Response:
    """Return the answer to a GET: the body, or 304 to whoever has it already.

    :raises PreconditionFailed: when the request wants another representation.
    """
    check(request, tag)
    if _is_known(request, tag):
        return Response(status=status.HTTP_304_NOT_MODIFIED, headers={"ETag": tag})
    return Response(body, headers={"ETag": tag})


def check(request: Request, tag: str) -> bool:
    """Check that a resource is as the request wants it, and tell whether the request said how that is.

    If it did, nobody may change the resource before the request does.

    :raises PreconditionFailed: when the resource is not like that.
    """
    if_match = request.headers.get("If-Match")
    if if_match is not None and not (_is_any(if_match) or tag in _tags(if_match)):
        raise PreconditionFailed
    if request.method not in _SAFE and _is_known(request, tag):
        raise PreconditionFailed
    return if_match is not None or "If-None-Match" in request.headers


def _is_known(request: Request, tag: str) -> bool:
    """Tell whether `If-None-Match`, which compares weakly, names this representation."""
    header = request.headers.get("If-None-Match", "")
    return _is_any(header) or tag in (each.removeprefix(_WEAK) for each in _tags(header))


def _is_any(header: str) -> bool:
    return header.strip(" \t") == "*"


def _tags(header: str) -> list[str]:
    """Return the tags of a list; of one that cannot be read, none."""
    return _TAG.findall(header) if _TAGS.fullmatch(header) else []
