"""Forms that make one thing, however often their button is pressed: the page chooses its id.

The id is signed. Ids say when something was made, and nobody is to choose that.
"""

from uuid import UUID

from django import forms
from django.core import signing
from django.core.exceptions import BadRequest

from deliveries.identifiers import new_id

_SALT = "deliveries.admin.once"


class OnceField(forms.CharField):
    """The id of what is to be made, hidden in the page. Without one the row chooses its own."""

    # A browser that goes back would otherwise fill in the id of what was made already.
    widget = forms.HiddenInput(attrs={"autocomplete": "off"})

    def __init__(self) -> None:
        super().__init__(required=False, initial=_choose)

    def clean(self, value: str | None) -> UUID | None:
        """Return the id.

        :raises BadRequest: when it is none of ours.
        """
        return read(value or "")


def read(written: str) -> UUID | None:
    """Return the id that a page carries; None where it carries none.

    :raises BadRequest: when it is none of ours.
    """
    try:
        return UUID(signing.loads(written, salt=_SALT)) if written else None
    except signing.BadSignature as error:
        raise BadRequest("This form is of no page of the console. Load the page again.") from error


def _choose() -> str:
    return signing.dumps(str(new_id()), salt=_SALT)
