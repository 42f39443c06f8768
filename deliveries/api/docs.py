"""The documents of the APIs, and the page to read and try them. Neither needs a key.

The documents are the committed files, which the tests hold equal to what the code declares. The page brings
everything it needs from this server: it works where there is no internet, and its policy allows nothing else.
"""

import hashlib
from functools import cache
from typing import Any

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import condition, require_safe

# By the name of the file; what the page calls it.
CONTRACTS = {"native": "Native", "failures": "Failures", "logs": "Logs"}
CONTENT_TYPE = "application/yaml"


@require_safe
def page(request: HttpRequest) -> HttpResponse:
    """Show the documents, one at a time, with forms that send real requests."""
    return render(request, "docs/page.html", {"contracts": CONTRACTS})


def _etag(request: HttpRequest, contract: str) -> str | None:
    return f'"{hashlib.sha256(_read(contract)).hexdigest()[:32]}"' if contract in CONTRACTS else None


@require_safe
@condition(etag_func=_etag)
def document(request: HttpRequest, contract: str) -> HttpResponse:
    """Answer with the document of a contract.

    :raises Http404: there is no such contract.
    """
    if contract not in CONTRACTS:
        raise Http404
    headers: dict[str, Any] = {
        "Cache-Control": "public, max-age=300",
        "Content-Disposition": f'inline; filename="{contract}.yaml"',
    }
    return HttpResponse(_read(contract), content_type=CONTENT_TYPE, headers=headers)


@cache
def _read(contract: str) -> bytes:
    return (settings.BASE_DIR / "docs" / "openapi" / f"{contract}.yaml").read_bytes()
