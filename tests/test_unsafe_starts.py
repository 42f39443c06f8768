"""What the service refuses to start with, rule by rule, and at each of its doors in a real process."""

import os
import secrets
import subprocess
import sys
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.core.checks import CheckMessage, run_checks
from django.test import Client

from deliveries import checks
from tests.servers.process import free_port

ROOT = Path(__file__).resolve().parent.parent
OLD_EXAMPLE = "bm90LWEtc2VjcmV0LWJ1dC1nb29kLWZvci10ZXN0cyE="
FRESH = Fernet.generate_key().decode()
SQLITE = {"ENGINE": "django.db.backends.sqlite3", "NAME": "/nowhere/webhooks.sqlite3"}
POSTGRESQL = {"ENGINE": "django.db.backends.postgresql", "NAME": "webhooks"}
SECOND = timedelta(seconds=1)
HERE = ["localhost", "127.0.0.1", "[::1]", "app.localhost"]


def networks(*texts: str) -> dict[str, Any]:
    return {"WEBHOOKS_ALLOWED_NETWORKS": tuple(ip_network(text) for text in texts)}


def waiting(watchdog: int, *, poll: int = 1, **options: int) -> dict[str, Any]:
    return {
        "WEBHOOKS_WATCHDOG": watchdog * SECOND,
        "WEBHOOKS_POLL_INTERVAL": poll * SECOND,
        "DATABASE": POSTGRESQL | {"OPTIONS": options},
    }


# What is set, and the ids of what is said of it.
RULES: list[tuple[str, dict[str, Any], set[str]]] = [
    ("debug at home", {"DEBUG": True, "ALLOWED_HOSTS": HERE}, set()),
    ("debug for everybody", {"DEBUG": True, "ALLOWED_HOSTS": ["*"]}, {"E003"}),
    ("debug under a name", {"DEBUG": True, "ALLOWED_HOSTS": [*HERE, "hooks.example.com"]}, {"E003"}),
    ("debug under an address", {"DEBUG": True, "ALLOWED_HOSTS": ["10.0.0.5"]}, {"E003"}),
    ("no debug for everybody", {"DEBUG": False, "ALLOWED_HOSTS": ["*"]}, set()),
    ("fresh key", {"SECRET_KEY": secrets.token_urlsafe(48)}, set()),
    ("short key", {"SECRET_KEY": secrets.token_urlsafe(36)}, {"E004"}),
    ("one letter for a key", {"SECRET_KEY": "x" * 64}, {"E004"}),
    ("Django's own key", {"SECRET_KEY": "django-insecure-" + secrets.token_urlsafe(48)}, {"E004"}),
    ("our old key", {"SECRET_KEY": "not-a-secret-only-for-tests-0123456789-abcdefghijklmnop"}, {"E004"}),
    ("key to be changed", {"SECRET_KEY": "ChangeMe" + secrets.token_urlsafe(48)}, {"E004"}),
    ("no token for the metrics", {"WEBHOOKS_METRICS_TOKEN": ""}, set()),
    ("short token for the metrics", {"WEBHOOKS_METRICS_TOKEN": "x" * 15}, {"E011"}),
    ("token for the metrics", {"WEBHOOKS_METRICS_TOKEN": secrets.token_urlsafe(12)}, set()),
    ("curl to send with", {"WEBHOOKS_TRANSPORT": "curl"}, set()),
    ("no encryption key", {"ENCRYPTION_KEYS": []}, {"E001"}),
    ("example to encrypt with", {"ENCRYPTION_KEYS": [OLD_EXAMPLE]}, {"E005"}),
    (
        "example of the specification",
        {"ENCRYPTION_KEYS": ["cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4="]},
        {"E005"},
    ),
    ("nothing but zeros", {"ENCRYPTION_KEYS": ["A" * 43 + "="]}, {"E005"}),
    ("example being rotated away", {"ENCRYPTION_KEYS": [FRESH, OLD_EXAMPLE]}, {"W003"}),
    ("lease too short", {"WEBHOOKS_LEASE_GRACE": SECOND, "WEBHOOKS_POLL_INTERVAL": SECOND}, {"E002"}),
    ("watchdog with time", waiting(120, patience=15), set()),
    ("watchdog with just time enough", waiting(32, patience=15), set()),
    ("watchdog in a hurry", waiting(31, patience=15), {"W004"}),
    ("statements for longer than the watchdog", waiting(120, patience=65), {"W004"}),
    ("polls for longer than the watchdog", waiting(120, poll=61), {"W004", "E002"}),
    ("SQLite for longer than the watchdog", waiting(40, timeout=20), {"W004"}),
    ("SQLite alone", {"DATABASE": SQLITE, "REDIS_URL": ""}, set()),
    ("SQLite and Redis", {"DATABASE": SQLITE, "REDIS_URL": "redis://127.0.0.1/0"}, {"E006"}),
    ("PostgreSQL and Redis", {"DATABASE": POSTGRESQL, "REDIS_URL": "redis://127.0.0.1/0"}, set()),
    ("no private network", networks(), set()),
    ("public network", networks("93.184.216.0/24", "2a00:1450::/32"), set()),
    ("own network", networks("10.1.0.0/16"), {"E008"}),
    ("own machine", networks("127.0.0.0/8"), {"E008"}),
    ("own IPv6 network", networks("fd00::/8"), {"E008"}),
    ("everything", networks("0.0.0.0/0"), {"E008"}),
    ("everything in IPv6", networks("::/0"), {"E008"}),
    ("metadata", networks("169.254.169.254/32"), {"E008"}),
    ("own network, and meant", networks("10.1.0.0/16") | {"WEBHOOKS_ALLOW_PRIVATE_NETWORKS": True}, set()),
    ("no proxy", {"SECURE_PROXY_SSL_HEADER": None, "TRUSTED_PROXIES": 0}, set()),
    ("half a proxy", {"SECURE_PROXY_SSL_HEADER": ("X", "https"), "TRUSTED_PROXIES": 0}, {"W002"}),
    ("a proxy", {"SECURE_PROXY_SSL_HEADER": ("X", "https"), "TRUSTED_PROXIES": 1}, set()),
]


def said() -> list[CheckMessage]:
    return [message for message in run_checks() if str(message.id).startswith("deliveries.")]


class TestRules:
    @pytest.mark.parametrize(
        ("changes", "ids"), [rule[1:] for rule in RULES], ids=[rule[0] for rule in RULES]
    )
    def test_say_what_is_unsafe_and_what_to_set(
        self, changes: dict[str, Any], ids: set[str], settings: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name, value in changes.items():
            if name == "DATABASE":
                monkeypatch.setitem(settings.DATABASES, "default", value)
            else:
                setattr(settings, name, value)

        found = said()

        assert {str(message.id).removeprefix("deliveries.") for message in found} == ids
        assert all(message.hint and str(message.msg).endswith((".", ",")) for message in found)

    def test_ask_for_pycurl_where_curl_is_to_send(
        self, settings: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        settings.WEBHOOKS_TRANSPORT = "curl"
        for name in [name for name in sys.modules if name.startswith("deliveries.transport.curl")]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setitem(sys.modules, "pycurl", None)

        (message,) = said()

        assert message.id == "deliveries.E012"
        assert "pycurl" in message.msg
        assert "WEBHOOKS_TRANSPORT=requests" in str(message.hint)

    def test_ask_for_a_libcurl_whose_certificates_can_be_read(
        self, settings: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        settings.WEBHOOKS_TRANSPORT = "curl"
        monkeypatch.setattr("pycurl.version", "PycURL/7.45.2 libcurl/7.88.1 GnuTLS/3.7.9 zlib/1.2.13")

        (message,) = said()

        assert message.id == "deliveries.E012"
        assert "GnuTLS" in message.msg

    def test_ask_for_a_libcurl_that_knows_our_options(
        self, settings: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        settings.WEBHOOKS_TRANSPORT = "curl"
        monkeypatch.delattr("pycurl.PREREQFUNCTION")

        (message,) = said()

        assert message.id == "deliveries.E012"
        assert "PREREQFUNCTION" in message.msg

    def test_ask_for_a_libcurl_that_asks_us_for_connections(
        self, settings: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        settings.WEBHOOKS_TRANSPORT = "curl"
        # It is the one that refuses; so this one finds nobody who does.
        monkeypatch.setattr("deliveries.transport.curl_handles.Handle._on_open", lambda *args: -1)

        (message,) = said()

        assert message.id == "deliveries.E012"
        assert "by itself" in message.msg

    @pytest.mark.parametrize("name", ["HTTP_PROXY", "https_proxy", "ALL_PROXY"])
    def test_mention_a_proxy_nobody_asks(self, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(name, "http://user:canary@proxy.example.com:3128")

        (message,) = said()

        assert message.id == "deliveries.W001"
        assert name in message.msg
        assert "canary" not in str(message)

    @pytest.mark.parametrize(
        "name",
        [
            "CELERY_BROKER_URL",
            "CELERY_BROKER_READ_URL",
            "CELERY_BROKER_WRITE_URL",
            "CELERY_RESULT_BACKEND",
        ],
    )
    def test_know_one_broker(self, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(name, "redis://:canary@redis.example.com/0")

        (message,) = said()

        assert message.id == "deliveries.E010"
        assert name in message.msg
        assert "REDIS_URL" in str(message.hint)
        assert "canary" not in str(message)

    def test_take_an_empty_broker_for_none(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CELERY_BROKER_URL", "")

        assert not said()

    def test_leave_commands_their_time(self, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(settings.DATABASES, "default", POSTGRESQL | {"OPTIONS": {"patience": 605}})

        monkeypatch.setattr(sys, "argv", ["manage.py", "check"])
        assert not said()
        monkeypatch.setattr(sys, "argv", ["manage.py", "deliver"])
        assert [message.id for message in said()] == ["deliveries.W004"]

    @pytest.mark.parametrize(
        ("words", "ids"),
        [
            (["0.0.0.0:8000", "--noreload"], ["deliveries.E003"]),
            (["[::]:8000"], ["deliveries.E003"]),
            (["8000"], []),
            (["127.0.0.1:8000"], []),
        ],
    )
    def test_keep_debug_pages_of_django_s_server_at_home(
        self, words: list[str], ids: list[str], settings: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        settings.DEBUG, settings.ALLOWED_HOSTS = True, HERE
        monkeypatch.setattr(sys, "argv", ["manage.py", "runserver", *words])

        assert [message.id for message in said()] == ids

    @pytest.mark.parametrize(
        ("changes", "key_file", "ids"),
        [
            ({}, "/data/secret_key", []),
            ({}, "/etc/secret_key", ["deliveries.E009"]),
            ({}, None, ["deliveries.E009"]),
            ({"SECURE_SSL_REDIRECT": True}, "/data/secret_key", ["deliveries.E009"]),
            ({"WEBHOOKS_DEMO_RECEIVER": "", "SECURE_SSL_REDIRECT": True}, None, []),
        ],
    )
    def test_leave_the_built_in_receiver_to_try_it_mode(
        self,
        changes: dict[str, Any],
        key_file: str | None,
        ids: list[str],
        settings: Any,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setitem(settings.DATABASES, "default", SQLITE | {"NAME": "/data/webhooks.sqlite3"})
        settings.REDIS_URL, settings.SECURE_SSL_REDIRECT = "", False
        settings.WEBHOOKS_DEMO_RECEIVER = "http://127.0.0.1:8000/demo/"
        for name, value in changes.items():
            setattr(settings, name, value)
        monkeypatch.delenv("SECRET_KEY_FILE", raising=False)
        if key_file:
            monkeypatch.setenv("SECRET_KEY_FILE", key_file)

        assert [message.id for message in said()] == ids

    def test_show_no_key(self, settings: Any) -> None:
        settings.SECRET_KEY = settings.WEBHOOKS_METRICS_TOKEN = "canary-7f3a"
        settings.ENCRYPTION_KEYS = [OLD_EXAMPLE]

        text = "".join(map(str, said()))

        assert "canary" not in text
        assert OLD_EXAMPLE not in text


class TestFileSystem:
    MOUNTS = """\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 22 0:40 / /srv rw,relatime shared:2 - nfs4 files.example.com:/srv rw
31 30 8:2 / /srv/local rw,relatime - xfs /dev/sdb1 rw
32 22 0:41 / /mnt/two\\040words rw - cifs //files/two rw
"""

    @pytest.mark.parametrize(
        ("file", "kind"),
        [
            ("/var/webhooks.sqlite3", "ext4"),
            ("/srv/webhooks.sqlite3", "nfs4"),
            ("/srv/local/webhooks.sqlite3", "xfs"),
            ("/srvlocal/webhooks.sqlite3", "ext4"),
            ("/mnt/two words/webhooks.sqlite3", "cifs"),
        ],
    )
    def test_is_the_one_mounted_nearest(self, file: str, kind: str, tmp_path: Path) -> None:
        (tmp_path / "mounts").write_text(self.MOUNTS)

        assert checks._file_system(Path(file), tmp_path / "mounts") == kind

    def test_is_unknown_where_the_system_does_not_tell(self, tmp_path: Path) -> None:
        assert checks._file_system(Path("/var/x"), tmp_path / "none") == ""

    def test_of_this_machine_is_found(self) -> None:
        assert checks._file_system(ROOT)

    @pytest.mark.parametrize("kind", ["nfs4", "fuse.rclone", "fuse.vmhgfs-fuse", "vboxsf", "virtiofs"])
    def test_in_a_network_is_refused(self, kind: str, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(settings.DATABASES, "default", SQLITE)
        settings.REDIS_URL = ""
        monkeypatch.setattr(checks, "_file_system", lambda path: kind)

        (message,) = said()

        assert message.id == "deliveries.E007"
        assert f"({kind})" in message.msg


def gunicorn(*options: str) -> list[str]:
    worker = ["--worker-class", "webhooks_project.web.Worker", "--no-control-socket"]
    return ["-m", "gunicorn", "webhooks_project.wsgi", *worker, *(options or ["--bind", "127.0.0.1:0"])]


# Each door, how it is started, and the variables it takes from outside.
DOORS = {
    "web": gunicorn(),
    "worker": ["-m", "celery", "-A", "webhooks_project", "worker", "--concurrency", "1"],
    "beat": ["-m", "celery", "-A", "webhooks_project", "beat"],
    "deliver": ["manage.py", "deliver"],
    "migrate": ["manage.py", "migrate"],
}


def start(command: list[str], **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run a door that must end by itself."""
    return subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


class TestDebugPages:
    """Of whatever serves us: gunicorn without our worker class knows nothing of where we may listen."""

    @pytest.mark.parametrize(
        ("surroundings", "status"),
        [
            ({"REMOTE_ADDR": "127.0.0.1"}, 404),
            ({"REMOTE_ADDR": "::1"}, 404),
            ({"REMOTE_ADDR": "192.0.2.7"}, 403),
            ({"REMOTE_ADDR": ""}, 403),
            ({"REMOTE_ADDR": "127.0.0.1", "HTTP_X_FORWARDED_FOR": "192.0.2.7"}, 403),
        ],
    )
    def test_are_for_this_machine(
        self, surroundings: dict[str, Any], status: int, client: Client, settings: Any
    ) -> None:
        settings.DEBUG = True

        answer = client.get("/no/such/page", secure=True, **surroundings)

        assert answer.status_code == status
        assert (b"DEBUG is on" in answer.content) == (status == 403)

    def test_off_leave_everybody_in(self, client: Client, settings: Any) -> None:
        settings.DEBUG = False

        assert client.get("/no/such/page", secure=True, REMOTE_ADDR="192.0.2.7").status_code == 404


@pytest.mark.slow
class TestDoors:
    @pytest.mark.parametrize("door", DOORS)
    def test_refuse_with_a_sentence(self, door: str) -> None:
        ended = start(DOORS[door], DEBUG="true", ALLOWED_HOSTS="*")

        assert ended.returncode != 0
        assert "DEBUG is on and ALLOWED_HOSTS names *, where strangers may be." in ended.stderr
        assert "Set DEBUG=false" in ended.stderr
        assert "deliveries.E003" in ended.stderr
        assert "Traceback" not in ended.stderr

    @pytest.mark.parametrize("door", DOORS)
    @pytest.mark.parametrize(
        ("changes", "sentence"),
        [
            ({"DEBUG": "yes"}, "DEBUG=yes: write true or false."),
            ({"SECRET_KEY": ""}, "The SECRET_KEY setting must not be empty."),
        ],
    )
    def test_refuse_what_makes_no_sense(self, door: str, changes: dict[str, str], sentence: str) -> None:
        ended = start(DOORS[door], **changes)

        assert ended.returncode != 0
        assert sentence in ended.stderr
        # Celery's own complaint about a missing key, a line of the log, may hold one.
        assert "\nTraceback" not in f"\n{ended.stderr}"

    @pytest.mark.parametrize("door", DOORS)
    def test_refuse_another_broker(self, door: str) -> None:
        ended = start(DOORS[door], CELERY_BROKER_URL="redis://:canary@192.0.2.1/0")

        assert ended.returncode != 0
        assert "CELERY_BROKER_URL set: Celery would use another broker than REDIS_URL names." in ended.stderr
        assert "canary" not in ended.stdout + ended.stderr

    def test_refuse_another_broker_in_celery_s_own_options(self) -> None:
        app, *rest = DOORS["worker"][2:]
        ended = start(["-m", "celery", "--broker", "redis://:canary@192.0.2.1/0", app, *rest])

        assert ended.returncode != 0
        assert "name the broker in REDIS_URL alone" in ended.stderr
        assert "canary" not in ended.stdout + ended.stderr

    def test_refuse_it_for_try_it_mode_too(self, tmp_path: Path) -> None:
        up = ["manage.py", "up", "--data-dir", str(tmp_path / "var"), "--port", str(free_port())]

        ended = start(up, WEBHOOKS_ALLOWED_NETWORKS="10.0.0.0/8")

        assert ended.returncode == 1
        assert "Set WEBHOOKS_ALLOW_PRIVATE_NETWORKS=true" in ended.stderr
        assert "Traceback" not in ended.stderr

    def test_show_no_debug_pages_to_other_machines(self) -> None:
        ended = start(gunicorn("--bind", "0.0.0.0:0"), DEBUG="true")

        assert ended.returncode == 1
        assert "DEBUG is on and --bind is 0.0.0.0: set DEBUG=false" in ended.stderr
        assert "Traceback" not in ended.stderr
