"""Who may come in: an operator for the console, a key for the API. Made once, with nothing guessable."""

import secrets
from datetime import datetime
from pathlib import Path

from django.contrib.auth.models import User

from deliveries.management.try_it import papers
from deliveries.management.try_it.papers import Credentials, Operator
from deliveries.models import ApiKey, Scope
from deliveries.services.demonstration import Tenant

OPERATOR = "operator"
KEY_NAME = "Made by manage.py up"

# Short words that are hard to mishear. Five of these 64 and two digits: 36 random bits, behind a slow hash.
_WORDS = """
amber anchor apple arrow autumn badge basin beacon birch bridge cabin canyon castle cedar cliff cloud
comet coral crane delta ember falcon fern field fjord flint forest garden glacier grove harbor hazel
heron island ivory jasper juniper kite lagoon lantern lemon maple marble meadow meteor mill nectar ocean
olive orchid otter pebble pine planet prairie quartz raven reef river saddle slate spruce tulip willow
"""


def admit(folder: Path, tenant: Tenant, *, now: datetime) -> tuple[Credentials, bool]:
    """Return the credentials, and whether they are new. Those of an earlier start stay as long as they work.

    :raises OSError: they cannot be written to the folder.
    """
    kept = papers.read_credentials(folder)
    if kept is not None and _work(kept, now=now):
        return kept, False
    _, key = ApiKey.objects.issue(account=tenant.account, name=KEY_NAME, scopes=list(Scope), now=now)
    credentials = Credentials(
        api_key=key,
        account_id=str(tenant.account.pk),
        agent_id=str(tenant.agents[0].pk),
        operator=_operator(),
    )
    papers.keep_credentials(folder, credentials)
    return credentials, True


def _work(credentials: Credentials, *, now: datetime) -> bool:
    """Tell whether this database knows the key and the operator. The password may have been changed since."""
    key = ApiKey.objects.find(credentials.api_key, now=now)
    return key is not None and User.objects.filter(username=credentials.operator.username).exists()


def _operator() -> Operator:
    words = [secrets.choice(_WORDS.split()) for _ in range(5)]
    password = "-".join([*words, str(secrets.randbelow(90) + 10)])
    user, _ = User.objects.get_or_create(username=OPERATOR, defaults={"is_staff": True, "is_superuser": True})
    user.set_password(password)
    user.save(update_fields=["password"])
    return Operator(username=OPERATOR, password=password)
