"""Make an API key."""

import unicodedata
from argparse import ArgumentTypeError
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from deliveries import clock
from deliveries.management import accounts, arguments
from deliveries.models import Scope
from deliveries.printing import printable
from deliveries.services import keys, opening

_BY = "manage.py create_api_key"


class Command(BaseCommand):
    """Prints nothing but the key on stdout, so that KEY=$(manage.py create_api_key ...) holds it."""

    help = "Make an API key and print it. It is stored nowhere and cannot be shown again."

    def add_arguments(self, parser: CommandParser) -> None:
        """Say whose key, and what it may do."""
        parser.add_argument(
            "--account", required=True, type=_name, help="the account's id, or its exact name"
        )
        parser.add_argument(
            "--create-account", action="store_true", help="make an account of that name if there is none"
        )
        parser.add_argument(
            "--name", type=_name, default="command line", help="what the key is for, for people"
        )
        parser.add_argument(
            "--scope",
            action="append",
            dest="scopes",
            type=arguments.scope,
            metavar="SCOPE",
            help=f"what it may do, all by default; may be repeated: {', '.join(Scope)}",
        )
        parser.add_argument(
            "--expires-in-days", type=arguments.days, metavar="N", help="never expires by default"
        )

    def handle(
        self,
        *,
        account: str,
        create_account: bool,
        name: str,
        scopes: list[Scope] | None,
        expires_in_days: timedelta | None,
        **options: Any,
    ) -> str:
        """Make the key, and return its text."""
        now = clock.now()
        owner = accounts.find(account)
        if owner is None:
            if not create_account or accounts.as_id(account):
                raise CommandError(f"No account has the id or the name {printable(account)}. {_HINT}")
            owner = opening.open_account(name=account, by=_BY, now=now)
        key, text = keys.issue(
            account=owner,
            name=name,
            scopes=list(dict.fromkeys(scopes or Scope)),
            by=_BY,
            now=now,
            expires_at=now + expires_in_days if expires_in_days else None,
        )
        self.stderr.write(
            f"Made {printable(key)} for {printable(owner)}. It is not shown again.", self.style.SUCCESS
        )
        return text


# Control characters, and the halves of surrogate pairs that bytes outside UTF-8 become in an argument.
_UNREADABLE = {"Cc", "Cs"}

_HINT = "To make one, give a name and add --create-account."


def _name(text: str) -> str:
    name = arguments.name(text)
    if name.isspace() or any(unicodedata.category(character) in _UNREADABLE for character in name):
        raise ArgumentTypeError("write a name that can be read, in UTF-8 and without control characters")
    return name
