"""Rows an operator makes by hand, which carry the moment they were made."""

from typing import Any

from django.http import HttpRequest

from deliveries import clock


class Dated:
    """For a ModelAdmin: sets `created_at`, writes only what the form changed, and deletes nothing."""

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Save a new row, or the changed columns of an old one."""
        if change:
            obj.save(update_fields=form.changed_data)
        else:
            obj.created_at = clock.now()
            obj.save(force_insert=True)

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        """Nobody deletes what history hangs on."""
        return False
