"""Three groups for the people of the console, each with what the one before it may and more.

A migration that adds a model or a permission ends with `RunPython(_groups.complete, RunPython.noop)`.
"""

from collections.abc import Mapping, Sequence
from functools import reduce
from operator import or_
from typing import Any

from django.apps.registry import Apps
from django.contrib.auth.management import create_permissions
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.models import Q, QuerySet

OPERATOR = {
    "deliveries": (
        *("view_bodies", "redeliver_delivery", "manage_recovery", "manage_failuregroup", "manage_pause"),
        "change_webhook",
    ),
}
ADMIN = {
    "deliveries": (
        *("add_webhook", "delete_webhook"),
        *("add_account", "change_account"),
        *("add_agent", "change_agent"),
        *("add_apikey", "change_apikey"),
        *("add_eventtype", "change_eventtype", "delete_eventtype"),
    ),
    "auth": ("view_user", "add_user", "change_user", "view_group"),
    "axes": ("view_accesslog", "view_accessattempt", "delete_accessattempt"),
}


def complete(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Make the groups, and give each what it lacks. What a group has besides, and who is in it, stays."""
    database = schema_editor.connection.alias
    for label in ADMIN:
        _make_permissions(apps, label, database)
    permissions = apps.get_model("auth", "Permission").objects.using(database)
    viewer = permissions.filter(content_type__app_label="deliveries", codename__startswith="view_")
    viewer = viewer.exclude(codename="view_bodies")
    operator = viewer | _among(permissions, OPERATOR)
    admin = operator | _among(permissions, ADMIN)
    for name, wanted in (("Viewer", viewer), ("Operator", operator), ("Admin", admin)):
        group, _ = apps.get_model("auth", "Group").objects.using(database).get_or_create(name=name)
        group.permissions.add(*wanted)


def _make_permissions(apps: Apps, label: str, database: str) -> None:
    """Make an app's permissions now; Django does so only after the last migration."""
    app = apps.get_app_config(label)
    before = getattr(app, "models_module", None)
    app.models_module = True  # type: ignore[assignment]  # a model of the past has no module
    create_permissions(app, verbosity=0, using=database, apps=apps)
    app.models_module = before


def _among(permissions: QuerySet[Any], wanted: Mapping[str, Sequence[str]]) -> QuerySet[Any]:
    named = (Q(content_type__app_label=app, codename__in=names) for app, names in wanted.items())
    return permissions.filter(reduce(or_, named))
