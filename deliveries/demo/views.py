"""The built-in receiver over HTTP: what it takes, how it is told to behave, and the page that shows it."""

import contextlib
import json
import select
import socket
import time
from dataclasses import asdict
from typing import Any
from urllib.parse import urljoin

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods, require_safe

from deliveries import clock, signing
from deliveries.demo.receivers import (
    RECEIVERS,
    Answer,
    Behaviour,
    Delivery,
    Signature,
    TooManyReceivers,
    meaning,
)
from deliveries.services import demonstration

# Characters of a body that are kept for the page.
SHOWN = 20_000
# A sender that has not hung up after this many seconds is hung up on.
PATIENCE = 120.0
# The web server of `manage.py up` leaves a request's socket here,
SOCKET = "webhooks.socket"
# and here what publishes an event to this very service.
HELLO = "webhooks.hello"


@require_safe
def page(request: HttpRequest) -> HttpResponse:
    """Show what arrives, as it arrives."""
    return render(request, "demo/page.html", {"hello": request.META.get(HELLO, "make hello")})


@never_cache
@require_safe
def state(request: HttpRequest) -> JsonResponse:
    """Return the receivers and what they got, newest first; with `?after=`, only what is newer than that."""
    last, deliveries = RECEIVERS.since(_number(request.GET.get("after")) or 0)
    return JsonResponse(
        {
            "run": RECEIVERS.run,
            "last": last,
            "behaviours": [{"word": each, "meaning": each.meaning} for each in Behaviour],
            "receivers": [_describe(name, how) for name, how in RECEIVERS.behaviours().items()],
            "deliveries": [asdict(delivery) for delivery in deliveries],
        }
    )


@csrf_exempt
@require_http_methods(["GET", "POST", "PUT", "PATCH"])
def receiver(request: HttpRequest, name: str) -> HttpResponseBase:
    """Take a delivery and answer as this receiver has been told to; on GET, say how that is."""
    try:
        if request.method == "GET":
            return JsonResponse(_describe(name, RECEIVERS.behaviour(name)))
        answer = RECEIVERS.answer(name, request.headers.get("webhook-id", ""))
    except TooManyReceivers as error:
        return JsonResponse({"error": str(error)}, status=404)
    RECEIVERS.note(_delivery(request, name, answer))
    if answer.http_status is None:
        _wait_until_hung_up(request)
        return HttpResponse(status=504)
    time.sleep(answer.delay)
    return JsonResponse(
        {"received": 200 <= answer.http_status < 300}, status=answer.http_status, headers=answer.headers
    )


@csrf_exempt
@require_http_methods(["GET", "POST"])
def behaviour(request: HttpRequest, name: str) -> JsonResponse:
    """Tell a receiver how to answer: `behaviour` in JSON or in a form. On GET, say how it answers."""
    try:
        if request.method == "POST":
            RECEIVERS.behave(name, Behaviour(_asked_for(request)))
        return JsonResponse(_describe(name, RECEIVERS.behaviour(name)))
    except ValueError:
        words = list(Behaviour)
        return JsonResponse({"error": f"behaviour: one of {', '.join(words)}.", "words": words}, status=400)
    except TooManyReceivers as error:
        return JsonResponse({"error": str(error)}, status=404)


def _asked_for(request: HttpRequest) -> str:
    """Return the word the caller sent.

    :raises ValueError: there is none.
    """
    if request.content_type != "application/json":
        return request.POST.get("behaviour", "")
    sent = json.loads(request.body)
    return str(sent.get("behaviour")) if isinstance(sent, dict) else ""


def _describe(name: str, how: Behaviour) -> dict[str, Any]:
    url = urljoin(settings.WEBHOOKS_DEMO_RECEIVER, reverse("demo:receiver", args=[name]))
    return {"name": name, "url": url, "behaviour": how, "meaning": meaning(name, how)}


def _delivery(request: HttpRequest, name: str, answer: Answer) -> Delivery:
    return Delivery(
        receiver=name,
        received_at=clock.now(),
        method=request.method or "",
        headers=dict(request.headers),
        body=_pretty(request.body),
        message_id=request.headers.get("webhook-id", ""),
        event=request.headers.get("X-Webhook-Event", ""),
        attempt=request.headers.get("X-Webhook-Attempt", ""),
        signature=_check_signature(request),
        answer=answer.text,
    )


def _check_signature(request: HttpRequest) -> Signature:
    """Check the signature against the secrets of the webhooks that point here, as a receiver should."""
    signature = request.headers.get("webhook-signature")
    if signature is None:
        return Signature.NONE
    message_id = request.headers.get("webhook-id", "")
    timestamp = _number(request.headers.get("webhook-timestamp"))
    if timestamp is None:
        return Signature.INVALID
    url = urljoin(settings.WEBHOOKS_DEMO_RECEIVER, request.get_full_path())
    fits = any(
        signing.verify(
            message_id=message_id,
            timestamp=timestamp,
            body=request.body,
            key=key,
            signature=signature,
        )
        for key in demonstration.secrets_of(url)
    )
    return Signature.VALID if fits else Signature.INVALID


def _number(text: str | None) -> int | None:
    """Return the number a text consists of, or None."""
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 16 else None


def _pretty(body: bytes) -> str:
    """Return a body for the page: indented where it is JSON, and cut where it is long."""
    text = body.decode(errors="replace")
    with contextlib.suppress(ValueError, RecursionError):
        text = json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}\n... and {len(text) - SHOWN:,} characters more"


def _wait_until_hung_up(request: HttpRequest) -> None:
    """Hold a request until its sender closes the connection, or for as long as we have patience."""
    connection: socket.socket | None = request.META.get(SOCKET)
    if connection is None:
        return
    # After a whole request, a sender that waits for its answer has nothing to send but the end.
    end = select.poll()
    end.register(connection, select.POLLIN)
    end.poll(PATIENCE * 1000)
