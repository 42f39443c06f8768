"""Webhooks, events, deliveries and the log of attempts: the least that does the job."""

from typing import ClassVar

from django.db import models


class Webhook(models.Model):
    """Where to send."""

    url = models.CharField(max_length=2048)
    secret = models.CharField(max_length=255)
    timeout = models.PositiveSmallIntegerField(default=30)
    enabled = models.BooleanField(default=True)

    objects: ClassVar[models.Manager["Webhook"]] = models.Manager()

    class Meta:
        app_label = "baseline"

    def __str__(self) -> str:
        return self.url


class Event(models.Model):
    """What happened."""

    type = models.CharField(max_length=100)
    payload = models.JSONField()
    created_at = models.DateTimeField(auto_now_add=True)

    objects: ClassVar[models.Manager["Event"]] = models.Manager()

    class Meta:
        app_label = "baseline"

    def __str__(self) -> str:
        return f"{self.type} {self.pk}"


class Delivery(models.Model):
    """One event to one webhook."""

    class Status(models.TextChoices):
        """How far it is."""

        PENDING = "pending"
        SUCCEEDED = "succeeded"
        FAILED = "failed"

    event = models.ForeignKey(Event, on_delete=models.CASCADE, related_name="deliveries")
    webhook = models.ForeignKey(Webhook, on_delete=models.CASCADE, related_name="deliveries")
    status = models.CharField(max_length=9, choices=Status.choices, default=Status.PENDING, db_index=True)
    attempts_made = models.PositiveSmallIntegerField(default=0)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects: ClassVar[models.Manager["Delivery"]] = models.Manager()

    class Meta:
        app_label = "baseline"

    def __str__(self) -> str:
        return f"{self.pk} {self.status}"


class Attempt(models.Model):
    """One request, and what came back."""

    delivery = models.ForeignKey(Delivery, on_delete=models.CASCADE, related_name="attempts")
    number = models.PositiveSmallIntegerField()
    started_at = models.DateTimeField(db_index=True)
    duration = models.DurationField()
    http_status = models.PositiveSmallIntegerField(null=True)
    error = models.CharField(max_length=255, blank=True)
    request_headers = models.JSONField()
    response_headers = models.JSONField(null=True)
    response_body = models.TextField(blank=True)

    objects: ClassVar[models.Manager["Attempt"]] = models.Manager()

    class Meta:
        app_label = "baseline"

    def __str__(self) -> str:
        return f"{self.delivery.pk} attempt {self.number}"
