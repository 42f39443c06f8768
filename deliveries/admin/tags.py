"""What templates of the console load as `console`."""

import math
import re
from datetime import timedelta

from django import template
from django.contrib import admin
from django.db.models import Model
from django.template.defaultfilters import filesizeformat
from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe
from django.utils.text import capfirst

from deliveries.admin import signs, subjects
from deliveries.admin.signs import Sign
from deliveries.admin.tables import YesNoFilter
from deliveries.printing import printable, utc

_BETWEEN_BACKTICKS = re.compile("`([^`]+)`")

register = template.Library()
register.filter("is_audited", subjects.is_audited)
register.filter("moment", signs.moment)
register.filter("state", signs.state)
register.filter("lasting", signs.lasting)
register.filter("relative", signs.relative)
register.filter("utc", utc)
register.filter("verdict", signs.verdict)
# A backslash and letters are no markup, so what is escaped stays so.
register.filter("printable", printable, is_safe=True)


register.simple_tag(subjects.audit_link)


@register.filter
def noun(row: Model) -> str:
    """Return what a row is called: "delivery"."""
    return str(row._meta.verbose_name)


@register.filter
def heading(choices: admin.ListFilter) -> str:
    """Return what a filter of a list asks: "By status", or "Enabled?" where the answers are yes and no."""
    if isinstance(choices, (YesNoFilter, admin.BooleanFieldListFilter)):
        return f"{capfirst(str(choices.title))}?"
    return f"By {choices.title}"


@register.filter
def commands(sentence: str) -> SafeString:
    """Return a sentence with what stands between backticks, which is a command or a name, as code."""
    return mark_safe(_BETWEEN_BACKTICKS.sub(r"<code>\1</code>", escape(sentence)))  # noqa: S308 - escaped


@register.filter
def thousands(number: int) -> str:
    """Return a number with its thousands apart: "12,345"."""
    return f"{number:,}"


@register.filter
def up_to(number: int, most: int) -> str:
    """Return a number that was counted so far at most: "12,345", or "100,000+" where there may be more."""
    return signs.counted(number, most=most)


@register.filter
def seconds_lasting(seconds: float) -> str:
    """Return a number of seconds as `lasting` writes a span."""
    return signs.lasting(timedelta(seconds=seconds))


@register.filter
def percent(ratio: float) -> str:
    """Return a ratio in per cent; only what is all of it is 100 %."""
    return f"{math.floor(ratio * 1000) / 10:.1f} %".replace(".0 %", " %")


@register.filter(name="bytes")
def size(number: int | None) -> str:
    """Return a size in its greatest unit: "1.5 GB"."""
    return signs.NOTHING if number is None else filesizeformat(number)


@register.simple_tag
def header_of_console() -> str:
    """Return the header: the pages of errors are drawn without what views hand to the others."""
    return str(admin.site.site_header)


@register.simple_tag
def badge(sign: str, word: str) -> SafeString:
    """Return a state as a colour, an icon and a word: `{% badge "well" "Alive" %}`."""
    return signs.badge(Sign[sign.upper()], word)


@register.filter
def milliseconds(span: timedelta) -> str:
    """Return a span in milliseconds: "1,234 ms"."""
    return f"{span / timedelta(milliseconds=1):,.0f} ms"
