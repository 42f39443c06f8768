"""What templates of the console load as `console`."""

import math
from datetime import timedelta

from django import template
from django.db.models import Model
from django.template.defaultfilters import filesizeformat
from django.utils.safestring import SafeString

from deliveries.admin import signs
from deliveries.admin.signs import Sign

register = template.Library()
register.filter("moment", signs.moment)
register.filter("state", signs.state)
register.filter("lasting", signs.lasting)
register.filter("relative", signs.relative)
register.filter("utc", signs.utc)
register.filter("verdict", signs.verdict)


@register.filter
def noun(row: Model) -> str:
    """Return what a row is called: "delivery"."""
    return str(row._meta.verbose_name)


@register.filter
def thousands(number: int) -> str:
    """Return a number with its thousands apart: "12,345"."""
    return f"{number:,}"


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
def badge(sign: str, word: str) -> SafeString:
    """Return a state as a colour, an icon and a word: `{% badge "well" "Alive" %}`."""
    return signs.badge(Sign[sign.upper()], word)


@register.filter
def milliseconds(span: timedelta) -> str:
    """Return a span in milliseconds: "1,234 ms"."""
    return f"{span / timedelta(milliseconds=1):,.0f} ms"
