"""What things are called in the console. In the models, these names would be a migration each."""

from django.apps import apps
from django.contrib import admin
from django.db.models import Model

from deliveries.models import ApiKey, FailureGroup, WebhookHealth

MODELS: dict[type[Model], tuple[str, str]] = {
    ApiKey: ("API key", "API keys"),
    FailureGroup: ("group of failures", "groups of failures"),
    WebhookHealth: ("webhook health", "webhook health"),
}
FIELDS = {
    "id": "ID",
    "webhook_id": "webhook ID",
    "next_attempt_id": "next attempt ID",
    "subject_id": "subject ID",
    "url": "URL",
    "http_method": "HTTP method",
    "http_status": "HTTP status",
}


def give() -> None:
    """Name the console, and what its pages would otherwise spell wrongly."""
    admin.site.site_header = admin.site.site_title = "Webhooks"
    admin.site.index_title = "Console"
    # The lists need the room; the index is one click away.
    admin.site.enable_nav_sidebar = False
    # There is nothing at "/" to see.
    admin.site.site_url = None
    console = apps.get_app_config("deliveries")
    console.verbose_name = "Events and deliveries"
    for model, (one, several) in MODELS.items():
        model._meta.verbose_name, model._meta.verbose_name_plural = one, several
    for model in console.get_models():
        for field in model._meta.concrete_fields:
            field.verbose_name = FIELDS.get(field.name, field.verbose_name)
