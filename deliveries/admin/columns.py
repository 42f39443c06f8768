"""Cells of a list: short, so that every column is seen, and whole where the pointer rests."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from django.contrib import admin
from django.utils import timezone
from django.utils.formats import localize
from django.utils.html import format_html
from django.utils.safestring import SafeString

from deliveries.admin import signs

# Characters of a name, a URL or a reason that a cell shows.
MOST = 40
NOTHING = "-"


def short_id(pk: object) -> SafeString:
    """Return the beginning and the end of an id: ids made within a minute begin alike."""
    text = str(pk)
    return format_html('<span title="{}">{}…{}</span>', text, text[:8], text[-4:])


def short(text: str | None) -> SafeString:
    """Return the beginning of a text."""
    if not text or len(text) <= MOST:
        return format_html("{}", text or NOTHING)
    return format_html('<span title="{}">{}…</span>', text, text[: MOST - 1])


def moment(at: datetime | None) -> str:
    """Return a moment the way Django's own cells show one."""
    return localize(timezone.localtime(at)) if at else NOTHING


def cut(path: str, title: str, *, write: Callable[[str], str] = str) -> Callable[[Any], str]:
    """Return a column for `list_display`: the short form of a text of the row, or of what it belongs to.

    :param write: how the text is written.
    """
    *relations, name = path.split(".")

    @admin.display(description=title, ordering=path.replace(".", "__"))
    def cell(row: Any) -> str:
        for relation in relations:
            row = getattr(row, relation)
        text = row and getattr(row, name)
        return short(text and write(text))

    # The class of the cell in the page is made of it.
    cell.__name__ = path.replace(".", "_")
    return cell


def when(name: str, title: str) -> Callable[[Any], str]:
    """Return a column for `list_display`: a moment of the row, as how long ago it was and in UTC."""

    @admin.display(description=title)
    def cell(row: Any) -> str:
        return signs.moment(getattr(row, name))

    cell.__name__ = name
    return cell


@admin.display(description="state")
def status(row: Any) -> str:
    """Return the badge of the row's status."""
    return signs.state(row.status)


@admin.display(description="ID", ordering="pk")
def identifier(row: Any) -> str:
    """Return the short form of the row's id."""
    return short_id(row.pk)
