"""Lists whose search only asks indexes, and whose filters are those that their pages offer.

A text that cannot be a value, such as half an id or a NUL, is found nowhere and is no error.
"""

from collections.abc import Iterator
from typing import Any, ClassVar, Generic, TypeVar

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import BadRequest, ValidationError
from django.db.models import DateTimeField, Model, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe
from django.utils.text import capfirst

from deliveries.admin import signs
from deliveries.admin.choosing import RowField, RowSelect, could_be
from deliveries.admin.moments import MomentField

Row = TypeVar("Row", bound=Model)
# PostgreSQL takes it in no text, not even in one to compare with.
NUL = "\0"


class Found(ChangeList):
    """The rows that filters and search leave."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not self.is_popup:
            title = getattr(self.model_admin, "list_title", self.opts.verbose_name_plural)
            self.title = capfirst(str(title))

    def get_queryset(self, request: HttpRequest, *args: Any, **kwargs: Any) -> QuerySet[Any]:
        """Leave none when a filter asks for what no row has."""
        rows = super().get_queryset(request, *args, **kwargs)
        asked = [text for values in request.GET.lists() for text in values[1]]
        return rows.none() if any(NUL in text for text in asked) else rows


class YesNoFilter(admin.SimpleListFilter, Generic[Row]):
    """A filter of rows that are something, or are not."""

    def keep(self, queryset: QuerySet[Row]) -> QuerySet[Row]:
        """Keep those that are."""
        raise NotImplementedError

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the choices beside "all"."""
        return [("yes", "Yes"), ("no", "No")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Row]) -> QuerySet[Row]:
        """Keep what is chosen."""
        if self.value() is None:
            return queryset
        kept = self.keep(queryset)
        return kept if self.value() == "yes" else queryset.exclude(pk__in=kept.values("pk"))


class StateFilter(admin.ChoicesFieldListFilter):
    """A filter by a state, called what its badge calls it."""

    def choices(self, changelist: ChangeList) -> Iterator[Any]:
        """Yield the choices with their links."""
        words = {label: signs.word(value) for value, label in self.field.flatchoices}
        for choice in super().choices(changelist):
            yield {**choice, "display": words.get(choice["display"], choice["display"])}


class ChosenFilter(admin.SimpleListFilter):
    """A filter one of whose choices always holds: the usual one, unless another is asked for."""

    parameter_name: str
    usual: str
    ALL: ClassVar = "all"

    def choices(self, changelist: ChangeList) -> Iterator[Any]:
        """Yield the choices with their links."""
        for word, label in self.lookup_choices:
            link = {self.parameter_name: None if word == self.usual else word}
            yield {
                "selected": word == (self.value() or self.usual),
                "query_string": changelist.get_query_string(link),
                "display": label,
            }

    def keep(self, queryset: QuerySet[Any], chosen: str) -> QuerySet[Any]:
        """Keep what is chosen, which is not all."""
        raise NotImplementedError

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Keep what is chosen; of rows that were chosen one by one, all that are still there."""
        chosen = self.value() or self.usual
        if chosen == self.ALL or chosen_one_by_one(request):
            return queryset
        return self.keep(queryset, chosen) if chosen in dict(self.lookup_choices) else queryset.none()


class Table(admin.ModelAdmin[Row]):
    """The search compares `search_fields` exactly, which their indexes answer."""

    # What a page takes is the time to write its rows.
    list_per_page = 50
    # Any, here and below: of an attribute that two bases declare, mypy wants the very same type.
    search_fields: ClassVar[Any] = ("id",)
    # Of the search fields, those found by a part of their text: only where the table stays small.
    searched_in_parts: ClassVar[tuple[str, ...]] = ()
    # What other pages' links choose rows by, beside the key.
    linked_by: ClassVar[tuple[str, ...]] = ()

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        """Take from the address what a page of the console puts there, and nothing else.

        Django takes every column of the row and every comparison: who may not see a body could ask for it
        letter by letter, and the answer would be looked for in millions of rows.
        """
        chosen = {"pk", self.opts.pk.name, *self.linked_by}
        return lookup.removesuffix("__exact") in chosen or lookup in self._filtered_by()

    def _filtered_by(self) -> Iterator[str]:
        """Yield the parameters of the filters beside the list."""
        filters: Any = self.list_filter
        for each in filters:
            # A name, or a name with its filter.
            name = each[0] if isinstance(each, tuple) else each
            if isinstance(name, str):
                yield from (f"{name}__exact", f"{name}__isnull", f"{name}__id__exact")
            else:
                yield from getattr(each, "parameters", (each.parameter_name,))

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Return the rows found; none of them comes twice."""
        text = search_term.strip()
        if not text:
            return queryset, False
        if NUL in text:
            return queryset.none(), False
        found = Q(pk__in=[])
        for name in self.search_fields:
            if name in self.searched_in_parts:
                found |= Q(**{f"{name}__icontains": text})
            else:
                found |= _exactly(queryset, name, text)
        return queryset.filter(found), False

    @admin.display(description=mark_safe('<input type="checkbox" id="action-toggle">'))  # noqa: S308 - ours
    def action_checkbox(self, row: Row) -> SafeString:
        """Return what chooses a row, as Django's does: that renders a template for each row."""
        return format_html(
            '<input type="checkbox" name="{}" value="{}" class="action-select"'
            ' aria-label="Select this object for an action - {}">',
            ACTION_CHECKBOX_NAME,
            row.pk,
            row,
        )

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        """Name the class of the list."""
        return Found

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """Return the list.

        :raises BadRequest: for a filter by what can be no value, which Django would leave out.
        """
        try:
            return super().get_changelist_instance(request)
        except IncorrectLookupParameters as error:
            raise BadRequest("Nothing can be filtered by that.") from error

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """Return what the address fills into a new row's form, as far as it can be there."""
        given = super().get_changeform_initial_data(request)
        fields = {field.name: field for field in self.opts.concrete_fields}
        filled_in = {
            name: _filled_in(fields[name], str(text)) for name, text in given.items() if name in fields
        }
        return {name: value for name, value in filled_in.items() if value is not None}

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Return the field of a row that is chosen by its name, which takes any text for an id."""
        if db_field.name in self.get_autocomplete_fields(request):
            kwargs.setdefault("widget", RowSelect(db_field, self.admin_site, using=kwargs.get("using")))
            kwargs.setdefault("form_class", RowField)
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Row | None:
        """Return the row of a page, if there is one."""
        return None if NUL in object_id else super().get_object(request, object_id, from_field)

    # Whether the columns of a row are folded up, below what its page makes of them.
    folded = False

    def get_fieldsets(self, request: HttpRequest, obj: Row | None = None) -> Any:
        """Return the columns."""
        if not self.folded or obj is None:
            return super().get_fieldsets(request, obj)
        return [("All columns", {"fields": self.get_fields(request, obj), "classes": ("collapse",)})]

    # What a list without a row says, where nothing is filtered.
    empty = "There is nothing yet."

    @property
    def searched_by(self) -> str:
        """What the search takes, in words."""
        fields: list[Any] = [self.opts.get_field(name) for name in self.search_fields]
        return " or ".join(str(field.verbose_name) for field in fields)

    def page_context(self, request: HttpRequest, row: Row) -> dict[str, Any]:
        """Return what the template of a row's own page wants to know beside the row."""
        return {}

    def render_change_form(
        self,
        request: HttpRequest,
        context: dict[str, Any],
        add: bool = False,
        change: bool = False,
        form_url: str = "",
        obj: Row | None = None,
    ) -> HttpResponse:
        """Render the page of a row, or that of a new one."""
        if obj is not None:
            context.update(self.page_context(request, obj))
        return super().render_change_form(request, context, add, change, form_url, obj)

    def response_action(
        self, request: HttpRequest, queryset: QuerySet[Any], *args: Any, **kwargs: Any
    ) -> HttpResponse | None:
        """Run an action, unless an id among the chosen can be no row's."""
        for text in request.POST.getlist(ACTION_CHECKBOX_NAME):
            if NUL in text or not could_be(self.opts.pk, text):
                raise BadRequest("Something was chosen that cannot be an id.")
        return super().response_action(request, queryset, *args, **kwargs)


def chosen_one_by_one(request: HttpRequest) -> bool:
    """Tell whether an act is on rows that were ticked, and not on all that match the list's filter."""
    return request.method == "POST" and request.POST.get("select_across") != "1"


def few(request: HttpRequest, chosen: QuerySet[Row], *, most: int) -> list[Row]:
    """Return the rows chosen from a list; none, and a sentence why, where a page cannot wait for so many."""
    rows = list(chosen[: most + 1])
    if len(rows) <= most:
        return rows
    messages.error(request, f"Nothing was changed: choose at most {most}.")
    return []


def _exactly(queryset: QuerySet[Any], name: str, text: str) -> Q:
    field: Any = queryset.model._meta.get_field(name)
    try:
        value = getattr(field, "target_field", field).to_python(text)
    except ValidationError:
        return Q(pk__in=[])
    return Q(**{name: value})


def _filled_in(field: Any, text: str) -> Any:
    """Return what an input is filled in with for a text of the address; None for what it cannot take."""
    if NUL in text or not could_be(field, text):
        return None
    if not isinstance(field, DateTimeField):
        return text
    try:
        return MomentField().clean(text)
    except ValidationError:
        return None


class ReadOnly:
    """For a ModelAdmin or an inline: its rows can be looked at, and nothing else."""

    def has_add_permission(self, request: HttpRequest, obj: object = None) -> bool:
        """Nobody adds."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        """Nobody changes."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        """Nobody deletes but retention."""
        return False
