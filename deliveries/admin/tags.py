"""What templates of the console load as `console`."""

from django import template
from django.db.models import Model

from deliveries.admin import signs

register = template.Library()
register.filter("moment", signs.moment)
register.filter("state", signs.state)
register.filter("lasting", signs.lasting)


@register.filter
def noun(row: Model) -> str:
    """Return what a row is called: "delivery"."""
    return str(row._meta.verbose_name)
