"""The people of the console. Nobody makes themselves, or anybody else, more than they are."""

from typing import Any

from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.forms import UserChangeForm
from django.contrib.auth.models import Group, Permission, User
from django.db import transaction
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse

from deliveries.admin.audited import Audited
from deliveries.admin.meanwhile import Meanwhile, MeanwhileForm

# What only a superuser hands out; everybody else puts people into groups.
POWERS = ("is_superuser", "user_permissions")

admin.site.unregister([User, Group])


class PersonForm(MeanwhileForm[User], UserChangeForm[User]):
    """Somebody, and what they may."""


@admin.register(User)
class PersonAdmin(Meanwhile[User], UserAdmin[User], Audited[User]):
    """Who may log in, and with which groups. Who leaves is made inactive: history mentions them."""

    form = PersonForm
    noun, known_by = "person", "username"
    told = ("username", "is_active", "is_staff", "groups", *POWERS)
    search_fields = ("username",)
    searched_in_parts = ("username",)
    ordering = ("username",)

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> Any:
        """Fix what only a superuser hands out."""
        fields = super().get_readonly_fields(request, obj)
        return fields if request.user.is_superuser else (*fields, *POWERS)

    def formfield_for_manytomany(self, db_field: Any, request: Any = None, **kwargs: Any) -> Any:
        """Offer, and take, only groups that are no more than who gives them."""
        if db_field.name == "groups" and not request.user.is_superuser:
            kwargs["queryset"] = Group.objects.exclude(permissions__in=_beyond(request.user))
        return super().formfield_for_manytomany(db_field, request, **kwargs)

    def user_change_password(
        self,
        request: HttpRequest,
        id: str,  # noqa: A002 - Django's URL calls it so
        form_url: str = "",
    ) -> HttpResponse:
        """Set a password, and note that, without a word of it."""
        with transaction.atomic():
            person = self.get_object(request, unquote(id))
            answer = super().user_change_password(request, id, form_url)
            if person and not User.objects.filter(pk=person.pk, password=person.password).exists():
                self.note(request, person, "changed", fields=["password"])
        return answer

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """Leave those who have more, and so their passwords, to others who have as much."""
        return super().has_change_permission(request, obj) and not _has_more(obj, request.user)

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """Leave those who have more."""
        return super().has_delete_permission(request, obj) and not _has_more(obj, request.user)


@admin.register(Group)
class PeopleGroupAdmin(Meanwhile[Group], GroupAdmin, Audited[Group]):
    """Viewer, Operator and Admin, and whatever others a superuser makes."""

    noun = "group"
    told = ("name", "permissions")
    search_fields = ("name",)
    searched_in_parts = ("name",)

    def formfield_for_manytomany(self, db_field: Any, request: Any = None, **kwargs: Any) -> Any:
        """Offer, and take, only permissions that who writes them has."""
        if db_field.name == "permissions" and not request.user.is_superuser:
            kwargs["queryset"] = Permission.objects.exclude(pk__in=_beyond(request.user))
        return super().formfield_for_manytomany(db_field, request, **kwargs)

    def has_change_permission(self, request: HttpRequest, obj: Group | None = None) -> bool:
        """Leave groups with more to others who have as much."""
        return super().has_change_permission(request, obj) and not _is_more(obj, request.user)

    def has_delete_permission(self, request: HttpRequest, obj: Group | None = None) -> bool:
        """Leave groups with more."""
        return super().has_delete_permission(request, obj) and not _is_more(obj, request.user)


def _of(person: Any) -> QuerySet[Permission]:
    """Return what somebody has, also while they are inactive: they may be made active again."""
    return Permission.objects.filter(Q(group__user=person) | Q(user=person))


def _beyond(editor: Any) -> QuerySet[Permission]:
    """Return what somebody who is no superuser has not."""
    return Permission.objects.exclude(pk__in=_of(editor).values("pk"))


def _has_more(person: User | None, editor: Any) -> bool:
    if person is None or editor.is_superuser:
        return False
    return person.is_superuser or _of(person).filter(pk__in=_beyond(editor).values("pk")).exists()


def _is_more(group: Group | None, editor: Any) -> bool:
    if group is None or editor.is_superuser:
        return False
    return group.permissions.filter(pk__in=_beyond(editor).values("pk")).exists()
