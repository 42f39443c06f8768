"""Tenants, and the keys their programs come with."""

import hashlib
import hmac
import secrets
import zlib
from datetime import datetime, timedelta
from functools import cache
from typing import Any, ClassVar, NamedTuple

from django.db import connection, models
from django.db.models import Q
from django.db.models.sql.compiler import SQLCompiler

from deliveries.identifiers import new_id
from deliveries.printing import printable


class Account(models.Model):
    """A tenant: everything else belongs to one."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    name = models.CharField(max_length=255)
    open_event_types = models.BooleanField(
        default=False,
        help_text="Accept any event type of the form [a-z0-9_.]{1,100}, not only the catalogue's.",
    )
    created_at = models.DateTimeField(editable=False)
    rules_version = models.PositiveBigIntegerField(
        default=0,
        db_default=0,
        editable=False,
        help_text="Counted up after each change of what decides where its events go.",
    )

    def __str__(self) -> str:
        return f"{printable(self.name)} ({self.pk})"


class Scope(models.TextChoices):
    """What a key may do. To manage does not imply to read."""

    FAILURES_READ = "tasks.webhooks.read", "Failures API: read"
    FAILURES_MANAGE = "tasks.webhooks.manage", "Failures API: retrigger"
    LOGS_READ = "agents.webhooks.read", "Logs API: read"
    LOGS_MANAGE = "agents.webhooks.manage", "Logs API: everything else"
    AGENTS_READ = "agents.read", "Agents: read"
    AGENTS_MANAGE = "agents.manage", "Agents: create"
    EVENTS_READ = "events.read", "Events: read"
    EVENTS_PUBLISH = "events.publish", "Events: publish"
    RECOVERIES_READ = "recoveries.read", "Recoveries: read"
    RECOVERIES_MANAGE = "recoveries.manage", "Recoveries: make, pause, resume, cancel; retry a delivery"
    PAUSES_READ = "pauses.read", "Pauses: read"
    PAUSES_MANAGE = "pauses.manage", "Pauses: make and end"


class ApiKeyQuerySet(models.QuerySet["ApiKey"]):
    """Keys."""

    def issue(
        self,
        *,
        account: Account,
        name: str,
        scopes: list[Scope],
        now: datetime,
        expires_at: datetime | None = None,
    ) -> tuple["ApiKey", str]:
        """Make a key and return it with its text, which is stored nowhere and cannot be shown again."""
        prefix, secret = secrets.token_hex(6), secrets.token_hex(32)
        key = self.create(
            account=account,
            name=name,
            prefix=prefix,
            digest=_digest(secret),
            scopes=[str(scope) for scope in scopes],
            expires_at=expires_at,
            created_at=now,
        )
        return key, f"whk_{prefix}_{secret}{_checksum(prefix, secret)}"

    def find(self, text: str, *, now: datetime) -> "ApiKey | None":
        """Return the usable key with this text, or None. Takes the same time whether the prefix is known."""
        prefix, secret = _parts(text)
        key = _with_prefix(prefix)
        known = key.digest if key else _NOBODY
        matches = hmac.compare_digest(known, _digest(secret))
        return key if key and matches and key.usable(now) else None


class ApiKey(models.Model):
    """A bearer token: 256 random bits, of which we keep the SHA-256."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="api_keys")
    name = models.CharField(max_length=255)
    prefix = models.CharField(max_length=12, unique=True, editable=False)
    digest = models.CharField(max_length=64, editable=False)
    scopes = models.JSONField(default=list)
    created_at = models.DateTimeField(editable=False)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)

    # Writing at every request would make reading cost a write.
    LAST_USED_PRECISION: ClassVar = timedelta(minutes=1)

    objects = ApiKeyQuerySet.as_manager()

    def __str__(self) -> str:
        return f"{printable(self.name)} (whk_{self.prefix}_...)"

    def usable(self, now: datetime) -> bool:
        """Whether it is neither revoked nor expired."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)

    def touch(self, *, now: datetime) -> None:
        """Note the use of the key, to the minute. Of uses that come at once, the first is noted."""
        if self.last_used_at is None or now - self.last_used_at >= self.LAST_USED_PRECISION:
            unnoted = Q(last_used_at=None) | Q(last_used_at__lte=now - self.LAST_USED_PRECISION)
            ApiKey.objects.filter(unnoted, pk=self.pk).update(last_used_at=now)
            self.last_used_at = now


class _Search(NamedTuple):
    statement: str
    compiler: SQLCompiler
    converters: Any
    of_key: list[str]
    of_account: list[str]


@cache
def _search() -> _Search:
    """Have the ORM write down once how to find a key: to write it takes most of the time."""
    keys = ApiKey.objects.select_related("account").filter(prefix="")
    compiler = keys.query.get_compiler(connection=connection)
    statement, _ = compiler.as_sql()
    return _Search(
        statement=statement,
        compiler=compiler,
        converters=compiler.get_converters([column for column, *_ in compiler.select]),
        of_key=[field.attname for field in ApiKey._meta.concrete_fields],
        of_account=[field.attname for field in Account._meta.concrete_fields],
    )


def _with_prefix(prefix: str) -> ApiKey | None:
    """Return the key with this prefix, with its account; None when there is none."""
    search = _search()
    with connection.cursor() as cursor:
        cursor.execute(search.statement, [prefix])
        rows = cursor.fetchall()
    for values in search.compiler.apply_converters(rows, search.converters):
        of_key = len(search.of_key)
        key = ApiKey.from_db(connection.alias, search.of_key, values[:of_key])
        key.account = Account.from_db(connection.alias, search.of_account, values[of_key:])
        return key
    return None


def _digest(secret: str) -> str:
    # A slow hash protects guessable passwords; 256 random bits need none.
    return hashlib.sha256(secret.encode()).hexdigest()


def _checksum(prefix: str, secret: str) -> str:
    return f"{zlib.crc32(f'{prefix}{secret}'.encode()):08x}"


def _parts(text: str) -> tuple[str, str]:
    """Split a key into prefix and secret; a text of another form gives a pair that fits no key."""
    head, _, tail = text.removeprefix("whk_").partition("_")
    if text.startswith("whk_") and tail.endswith(_checksum(head, tail[:-8])):
        return head, tail[:-8]
    return "", ""


_NOBODY = _digest("")
