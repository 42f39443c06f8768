"""The people of the console. Nobody makes themselves, or anybody else, more than they are."""

from typing import Any

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, User
from django.http import HttpRequest

from deliveries.admin.tables import Table

# What only a superuser hands out; everybody else puts people into groups.
POWERS = ("is_superuser", "user_permissions")

admin.site.unregister([User, Group])


@admin.register(User)
class PersonAdmin(UserAdmin[User], Table[User]):
    """Who may log in, and with which groups. Who leaves is made inactive: history mentions them."""

    search_fields = ("username",)
    searched_in_parts = ("username",)
    ordering = ("username",)

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> Any:
        """Fix what only a superuser hands out."""
        fields = super().get_readonly_fields(request, obj)
        return fields if request.user.is_superuser else (*fields, *POWERS)

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """Leave superusers, and so their passwords, to superusers."""
        return super().has_change_permission(request, obj) and (
            obj is None or not obj.is_superuser or request.user.is_superuser
        )


@admin.register(Group)
class PeopleGroupAdmin(GroupAdmin, Table[Group]):
    """Viewer, Operator and Admin, and whatever others a superuser makes."""

    search_fields = ("name",)
    searched_in_parts = ("name",)
