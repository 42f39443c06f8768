"""System checks: what would only be noticed at night, or by somebody else, said at start.

Every management command runs them; web server, workers and beat do by `webhooks_project.starting`. An error
stops the start, and its hint says what to set.
"""

import base64
import os
import sys
from collections.abc import Sequence
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage, Error, register

from deliveries import addresses, secrets

_NEW_ENCRYPTION_KEY = (
    "Make one with: python -c 'from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())'"
)
_NEW_SECRET_KEY = "Make one with: python -c 'import secrets; print(secrets.token_urlsafe(48))'"  # noqa: S105
# As short as nobody's generator makes one, and how the keys begin that stand in somebody's documentation.
_SHORTEST_SECRET_KEY = 50
_SHORTEST_METRICS_TOKEN = 16
_EXAMPLES = ("not-a-secret", "django-insecure-", "change", "example", "insecure", "secret", "your")
# The one in the specification of Fernet.
_EXAMPLE_ENCRYPTION_KEYS = ("cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4=",)
_LOCAL_NAMES = ("localhost", "127.0.0.1", "[::1]", "::1")
# Where SQLite's locks and its shared memory do not work, or work only for one of the machines: in a
# network, or between a virtual machine and its host.
_NETWORK_FILE_SYSTEMS = frozenset(
    [
        "9p",
        "afs",
        "beegfs",
        "ceph",
        "cifs",
        "fuse.ceph",
        "fuse.glusterfs",
        "fuse.rclone",
        "fuse.s3fs",
        "fuse.sshfs",
        "fuse.vmhgfs-fuse",
        "gfs2",
        "glusterfs",
        "gpfs",
        "lustre",
        "ncpfs",
        "nfs",
        "nfs4",
        "ocfs2",
        "smb3",
        "smbfs",
        "vboxsf",
        "virtiofs",
    ]
)
_PROXIES = ("http_proxy", "https_proxy", "all_proxy")
# Celery reads these by itself, before what the settings say. Its options for a broker set the second.
_BROKERS = ("CELERY_BROKER_READ_URL", "CELERY_BROKER_URL", "CELERY_BROKER_WRITE_URL", "CELERY_RESULT_BACKEND")


@register()
def encryption_keys(**kwargs: Any) -> list[CheckMessage]:
    """There must be a usable encryption key, which nobody else knows."""
    try:
        secrets.encrypt("", keys=settings.ENCRYPTION_KEYS)
    except secrets.InvalidKey as error:
        return [Error(str(error), hint=_NEW_ENCRYPTION_KEY, id="deliveries.E001")]
    known = [_is_example(key) for key in settings.ENCRYPTION_KEYS]
    if known[0]:
        words = "The first of ENCRYPTION_KEYS is an example, which everybody knows."
        return [Error(words, hint=f"Put a new one before it. {_NEW_ENCRYPTION_KEY}", id="deliveries.E005")]
    if any(known):
        words = "One of ENCRYPTION_KEYS is an example, which everybody knows."
        return [
            checks.Warning(
                words, hint="Run `manage.py rotate_encryption`, then take it out.", id="deliveries.W003"
            )
        ]
    return []


@register()
def lease_covers_recording(**kwargs: Any) -> list[CheckMessage]:
    """A result must be written before its lease ends, or every delivery is sent twice."""
    if settings.WEBHOOKS_LEASE_GRACE <= settings.WEBHOOKS_POLL_INTERVAL:
        return [
            Error(
                "WEBHOOKS_LEASE_GRACE must be longer than WEBHOOKS_POLL_INTERVAL.",
                hint="30 seconds of grace suit the usual installation.",
                id="deliveries.E002",
            )
        ]
    return []


@register()
def watchdog_outlasts_the_database(**kwargs: Any) -> list[CheckMessage]:
    """A dispatcher that waits for its database is not stuck."""
    # These commands have more time for a statement, and no dispatcher: see manage.py.
    if Path(sys.argv[0]).name == "manage.py" and sys.argv[1:2] != ["deliver"]:
        return []
    options = settings.DATABASES["default"].get("OPTIONS", {})
    waits = timedelta(seconds=options.get("patience", options.get("timeout", 0)))
    # A turn waits for both, and not only once for the database where that answers in the last moment.
    needed = 2 * (settings.WEBHOOKS_POLL_INTERVAL + waits)
    if needed <= settings.WEBHOOKS_WATCHDOG:
        return []
    words = "WEBHOOKS_WATCHDOG is so short that a worker ends itself when its database is only slow."
    hint = (
        f"Set it to {needed.total_seconds():g} at least: twice WEBHOOKS_POLL_INTERVAL and what a statement "
        "may take together. 120 suit the usual installation."
    )
    return [checks.Warning(words, hint=hint, id="deliveries.W004")]


@register()
def debug_stays_at_home(**kwargs: Any) -> list[CheckMessage]:
    """Debug pages show settings and data to whoever makes an error."""
    hosts = [host for host in settings.ALLOWED_HOSTS if not is_local(host)]
    if settings.DEBUG and hosts:
        return [
            Error(
                f"DEBUG is on and ALLOWED_HOSTS names {', '.join(hosts)}, where strangers may be.",
                hint="Set DEBUG=false, or take everything but localhost out of ALLOWED_HOSTS.",
                id="deliveries.E003",
            )
        ]
    # Its static files stand before the middleware that refuses other machines.
    if settings.DEBUG and sys.argv[1:2] == ["runserver"]:
        named = (each.rpartition(":")[0] for each in sys.argv[2:] if not each.startswith("-"))
        binds = [bind for bind in named if bind and not is_local(bind)]
        if binds:
            words = f"DEBUG is on and runserver is to listen on {', '.join(binds)}."
            hint = "Set DEBUG=false, or have it listen on 127.0.0.1."
            return [Error(words, hint=hint, id="deliveries.E003")]
    return []


@register()
def secret_key(**kwargs: Any) -> list[CheckMessage]:
    """Whoever knows the key makes themselves a session."""
    key = settings.SECRET_KEY
    if len(key) < _SHORTEST_SECRET_KEY:
        words = f"SECRET_KEY has fewer than {_SHORTEST_SECRET_KEY} characters, and can be guessed."
    elif key.lower().startswith(_EXAMPLES) or len(set(key)) < len("guess"):
        words = "SECRET_KEY is an example, which everybody knows."
    else:
        return []
    return [Error(words, hint=_NEW_SECRET_KEY, id="deliveries.E004")]


@register()
def metrics_token(**kwargs: Any) -> list[CheckMessage]:
    """Whoever guesses it reads how the service is doing, and nobody counts the guesses."""
    if 0 < len(settings.WEBHOOKS_METRICS_TOKEN) < _SHORTEST_METRICS_TOKEN:
        words = (
            f"WEBHOOKS_METRICS_TOKEN has fewer than {_SHORTEST_METRICS_TOKEN} characters, and can be guessed."
        )
        hint = "Make one with: python -c 'import secrets; print(secrets.token_urlsafe(24))'"
        return [Error(words, hint=hint, id="deliveries.E011")]
    return []


@register()
def sqlite_serves_one_machine(**kwargs: Any) -> list[CheckMessage]:
    """SQLite's locks hold on one machine, and REDIS_URL is for when there are several."""
    database = settings.DATABASES["default"]
    if not database["ENGINE"].endswith("sqlite3"):
        return []
    use = "Set DATABASE_URL to a PostgreSQL"
    found: list[CheckMessage] = []
    if settings.REDIS_URL:
        words = "DATABASE_URL is SQLite, which serves one machine, and REDIS_URL connects several."
        found.append(Error(words, hint=f"{use}, or take REDIS_URL out.", id="deliveries.E006"))
    file_system = _file_system(Path(str(database["NAME"])).absolute())
    if file_system in _NETWORK_FILE_SYSTEMS:
        words = (
            f"The SQLite file {database['NAME']} is on a network file system ({file_system}): it would break."
        )
        found.append(Error(words, hint=f"{use}, or to a file on a local disk.", id="deliveries.E007"))
    return found


@register()
def one_broker(**kwargs: Any) -> list[CheckMessage]:
    """What stands in REDIS_URL decides more than where messages go, and its password is left out of logs."""
    named = [name for name in _BROKERS if os.environ.get(name)]
    if not named:
        return []
    words = f"{' and '.join(named)} set: Celery would use another broker than REDIS_URL names."
    hint = "Take it out, and name the broker in REDIS_URL alone."
    return [Error(words, hint=hint, id="deliveries.E010")]


@register()
def private_networks_are_meant(**kwargs: Any) -> list[CheckMessage]:
    """What stands in private networks trusts whoever is in them, and webhooks are pointed by strangers."""
    private = [str(each) for each in settings.WEBHOOKS_ALLOWED_NETWORKS if addresses.holds_denied(each)]
    if private and not settings.WEBHOOKS_ALLOW_PRIVATE_NETWORKS:
        return [
            Error(
                f"WEBHOOKS_ALLOWED_NETWORKS lets webhooks into {', '.join(private)}, which is private.",
                hint="Set WEBHOOKS_ALLOW_PRIVATE_NETWORKS=true if everybody who makes webhooks may go there.",
                id="deliveries.E008",
            )
        ]
    return []


@register()
def built_in_receiver_is_for_trying(**kwargs: Any) -> list[CheckMessage]:
    """It lets webhooks into this machine, and shows what they brought to whoever asks."""
    if not settings.WEBHOOKS_DEMO_RECEIVER or _is_try_it():
        return []
    words = "WEBHOOKS_DEMO_RECEIVER is set, which is for `manage.py up` alone."
    hint = "Take it out; for a receiver of your own in a private network set WEBHOOKS_ALLOWED_NETWORKS."
    return [Error(words, hint=hint, id="deliveries.E009")]


@register()
def transport_can_be_had(**kwargs: Any) -> list[CheckMessage]:
    """The engine on libcurl is not to be had everywhere, and no delivery should find that out."""
    if settings.WEBHOOKS_TRANSPORT != "curl":
        return []
    try:
        import_module("deliveries.transport.curl_engine")
        trouble = import_module("deliveries.transport.curl_build").trouble()
    except (ImportError, AttributeError) as error:
        trouble = str(error)
    if trouble:
        words = f"WEBHOOKS_TRANSPORT is curl, which cannot be used here: {trouble}."
        hint = "Install pycurl as requirements.txt pins it, on Linux, or set WEBHOOKS_TRANSPORT=requests."
        return [Error(words, hint=hint, id="deliveries.E012")]
    return []


@register()
def proxies(**kwargs: Any) -> list[CheckMessage]:
    """Say what the environment asks for in vain, or promises of who logs in."""
    found: list[CheckMessage] = []
    named = sorted(name for name in os.environ if name.lower() in _PROXIES)
    if named:
        words = f"{' and '.join(named)} set: webhooks are sent directly all the same."
        found.append(
            checks.Warning(words, hint="Only a direct connection shows the address.", id="deliveries.W001")
        )
    if settings.SECURE_PROXY_SSL_HEADER and not settings.TRUSTED_PROXIES:
        words = "TRUST_X_FORWARDED_PROTO says there is a proxy, and TRUSTED_PROXIES that there is none."
        hint = "Set TRUSTED_PROXIES=1; without it, who logs in wrongly locks out everybody of that name."
        found.append(checks.Warning(words, hint=hint, id="deliveries.W002"))
    return found


def is_local(host: str) -> bool:
    """Tell whether a host is this machine, for this machine only."""
    return host in _LOCAL_NAMES or host.endswith(".localhost")


def _is_try_it() -> bool:
    """Tell whether this is the environment that `manage.py up` makes for itself and for what works beside it.

    No Redis, no TLS, and one folder with SQLite's file and the key: see management/try_it/environment.py.
    """
    database = settings.DATABASES["default"]
    key = os.environ.get("SECRET_KEY_FILE")
    return (
        database["ENGINE"].endswith("sqlite3")
        and not settings.REDIS_URL
        and not settings.SECURE_SSL_REDIRECT
        and key is not None
        and Path(key).parent == Path(str(database["NAME"])).parent
    )


def _is_example(key: str) -> bool:
    """Tell whether a person made a key: no generator makes 32 bytes that are all text, or all alike."""
    found = base64.urlsafe_b64decode(key)
    return key in _EXAMPLE_ENCRYPTION_KEYS or len(set(found)) == 1 or all(32 <= byte < 127 for byte in found)


def _file_system(path: Path, mounts: Path = Path("/proc/self/mountinfo")) -> str:
    """Return the type of the file system that has, or will have, a file; nothing where nobody tells."""
    try:
        lines = mounts.read_text().splitlines()
    except OSError:
        return ""
    here = os.path.realpath(path)
    best, found = "", ""
    for line in lines:
        point, kind = _mount(line.split())
        # The later of two on one point hides the earlier.
        if len(point) >= len(best) and (here == point or here.startswith(point.rstrip("/") + "/")):
            best, found = point, kind
    return found


def _mount(words: Sequence[str]) -> tuple[str, str]:
    """Return where a line of mountinfo mounts what type; spaces in it are written as octal numbers."""
    return words[4].replace("\\040", " "), words[words.index("-") + 1]
