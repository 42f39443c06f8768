"""The task: load a delivery, sign and send it, write down what came of it, retry what failed."""

import base64
import hashlib
import hmac
import json
from typing import Any

import requests
from celery import shared_task
from celery.app.task import Task
from django.db import transaction
from django.utils import timezone

from benchmarks.baseline.models import Attempt, Delivery
from benchmarks.baseline.settings import CA_BUNDLE

MAX_RETRIES = 5
# One for each process, so that connections to receivers are kept.
session = requests.Session()


@shared_task(name="baseline.deliver", bind=True, max_retries=MAX_RETRIES, ignore_result=True)
def deliver(self: "Task[Any, Any]", delivery_id: int) -> None:
    """Make an attempt of a delivery."""
    delivery = Delivery.objects.select_related("event", "webhook").get(pk=delivery_id)
    if delivery.status != Delivery.Status.PENDING or not delivery.webhook.enabled:
        return
    body = json.dumps(delivery.event.payload, separators=(",", ":")).encode()
    started_at = timezone.now()
    attempt = Attempt(
        delivery=delivery,
        number=delivery.attempts_made + 1,
        started_at=started_at,
        request_headers=_headers(delivery, body, int(started_at.timestamp())),
    )
    try:
        response = session.post(
            delivery.webhook.url,
            data=body,
            headers=attempt.request_headers,
            timeout=delivery.webhook.timeout,
            allow_redirects=False,
            verify=CA_BUNDLE,
        )
        attempt.http_status = response.status_code
        attempt.response_headers = dict(response.headers)
        attempt.response_body = response.text[:16384]
    except requests.RequestException as error:
        attempt.error = str(error)[:255]
    attempt.duration = timezone.now() - started_at
    succeeded = attempt.http_status is not None and 200 <= attempt.http_status < 300
    delivery.attempts_made += 1
    if succeeded:
        delivery.status = Delivery.Status.SUCCEEDED
    elif delivery.attempts_made > MAX_RETRIES:
        delivery.status = Delivery.Status.FAILED
    with transaction.atomic():
        attempt.save(force_insert=True)
        delivery.save(update_fields=["status", "attempts_made", "updated_at"])
    if delivery.status == Delivery.Status.PENDING:
        raise self.retry(countdown=5 * 2**delivery.attempts_made)


def _headers(delivery: Delivery, body: bytes, timestamp: int) -> dict[str, str]:
    signed = b".".join((str(delivery.event.pk).encode(), str(timestamp).encode(), body))
    digest = hmac.digest(delivery.webhook.secret.encode(), signed, hashlib.sha256)
    return {
        "Content-Type": "application/json",
        "User-Agent": "baseline/1",
        "X-Webhook-Event": delivery.event.type,
        "webhook-id": str(delivery.event.pk),
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }
