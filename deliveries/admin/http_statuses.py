"""Filters of a list by the HTTP status that something failed with: three digits, or all that begin alike."""

import re
from typing import Any

from django.http import HttpRequest

from deliveries.admin.typed import Meaning, NotUnderstood, Typed, TypedForADay
from deliveries.reasons import Reason, describe

_FORM = re.compile("([1-5])([0-9][0-9]|xx)", re.IGNORECASE)


class FailedStatusFilter(Typed):
    """Failures by the text of their reason, which says the status."""

    title = "HTTP status of failures"
    parameter_name = "http_status"
    label = "HTTP status, such as 503, or 5xx"
    most = 3
    of = "with"

    def understand(self, request: HttpRequest, model_admin: Any) -> Meaning:
        """Return what failed with the status, or with one of its class.

        :raises NotUnderstood: when it is none, or one of a success.
        """
        form = _FORM.fullmatch(self.typed)
        if form is None:
            raise NotUnderstood(
                "An HTTP status is three digits, such as 503, or 5xx for all that begin so; none begins "
                "with 0 or with more than 5."
            )
        if form[1] == "2":
            raise NotUnderstood("What is answered with 2xx has succeeded; only what failed is looked for.")
        if form[2].isdecimal():
            return self.one(int(self.typed))
        return self.all_of(int(form[1]))

    def one(self, status: int) -> Meaning:
        """Return what failed with a status."""
        reason = describe(Reason.HTTP_STATUS, status)
        return Meaning(name=reason, lookups={"reason": reason}, exactly=reason)

    def all_of(self, first: int) -> Meaning:
        """Return what failed with a status that begins with this digit."""
        begins = describe(Reason.HTTP_STATUS, first)
        return Meaning(
            name=f"{begins}xx", lookups={"reason_code": Reason.HTTP_STATUS, "reason__startswith": begins}
        )


class AttemptedStatusFilter(TypedForADay, FailedStatusFilter):
    """Attempts by the status itself, looked for among those that failed, which have an index."""

    sought = "An HTTP status"

    def one(self, status: int) -> Meaning:
        """Return what failed with a status."""
        name = describe(Reason.HTTP_STATUS, status)
        return Meaning(name=name, lookups={"succeeded": False, "http_status": status})

    def all_of(self, first: int) -> Meaning:
        """Return what failed with a status that begins with this digit."""
        name = f"{describe(Reason.HTTP_STATUS, first)}xx"
        statuses = (first * 100, first * 100 + 99)
        return Meaning(name=name, lookups={"succeeded": False, "http_status__range": statuses})
