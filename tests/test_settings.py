import os
import subprocess
import sys
import tomllib
import traceback
from pathlib import Path

import pytest
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from webhooks_project import env

ROOT = Path(__file__).resolve().parent.parent


class TestEnvironment:
    @pytest.mark.parametrize(
        ("read", "raw", "says"),
        [
            (lambda: env.boolean("X", True), "ture", "write true or false"),
            (lambda: env.count("X", 1), "0", "at least 1"),
            (lambda: env.count("X", 1), "many", "at least 1"),
            (lambda: env.seconds("X", 1), "-1", "above 0"),
            (lambda: env.seconds("X", 1), "nan", "above 0"),
            (lambda: env.seconds("X", 1), "1e400", "above 0"),
            (lambda: env.delays("X", [1]), "1,,2", "separated by commas"),
            (lambda: env.networks("X"), "10.0.0.1/8", "networks such as"),
            (lambda: env.authorities("X"), "/nowhere/ca.pem", "a readable file of certificates"),
            (lambda: env.authorities("X"), "/etc/hostname", "a readable file of certificates"),
            (lambda: env.days("X", 1), "99999999999", "days from 1 to"),
            (lambda: env.database("X", ""), "garbage", "a URL such as"),
            (lambda: env.database("X", ""), "mysql://host/name", "a URL such as"),
            (lambda: env.database("X", ""), "postgres://user:12/3@host/name", "percent-encoded"),
            (lambda: env.database("X", ""), "postgres://user:12?3@host/name", "percent-encoded"),
            (lambda: env.redis("X"), "127.0.0.1:6379", "a URL such as redis"),
            (lambda: env.redis("X"), "amqp://guest@localhost//", "a URL such as redis"),
            (lambda: env.redis("X"), "redis://", "a URL such as redis"),
            (lambda: env.redis("X"), "redis:///0", "a URL such as redis"),
            (lambda: env.redis("X"), "redis://host:port/0", "a URL such as redis"),
            (lambda: env.redis("X"), "redis://host/first", "a URL such as redis"),
            (lambda: env.redis("X"), "redis://:pw/more@host/0", "percent-encoded"),
            (lambda: env.redis("X"), "redis://user:12/3@host/0", "percent-encoded"),
            (lambda: env.redis("X"), "redis://user:12#3@host/0", "percent-encoded"),
            (lambda: env.redis("X"), "redis://user:12?3@host/0", "percent-encoded"),
            (lambda: env.limit("X", ""), "600", "a limit such as 600/minute"),
            (lambda: env.limit("X", ""), "0/minute", "a limit such as 600/minute"),
            (lambda: env.limit("X", ""), "600/fortnight", "a limit such as 600/minute"),
            (lambda: env.limit("X", ""), "5/second;600/minute", "a limit such as 600/minute"),
            (lambda: env.choice("X", ["json", "plain"], "json"), "xml", "one of json, plain"),
        ],
    )
    def test_refuses_what_makes_no_sense(
        self, read: "type[object]", raw: str, says: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("X", raw)

        with pytest.raises(ImproperlyConfigured, match=says):
            read()

    def test_takes_nothing_for_no_limit(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("X", "")

        assert env.limit("X", "600/minute") is None

    def test_names_a_file_it_cannot_read(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("X_FILE", "/nonexistent")

        with pytest.raises(ImproperlyConfigured, match="X_FILE=/nonexistent: it cannot be read"):
            env.text("X")

    @pytest.mark.parametrize(
        "raw",
        [
            "nonsense://user:canary@host/name",
            "postgres://user:canary/x@host/name",
            "postgres://user:canary/name",
            "redis://:canary/x@host/0",
            "redis://user:canary/0",
        ],
    )
    @pytest.mark.parametrize("read", [lambda: env.database("X", ""), lambda: env.redis("X")])
    def test_shows_no_password(self, read: "type[object]", raw: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("X", raw)

        with pytest.raises(ImproperlyConfigured) as caught:
            read()
        assert "canary" not in "".join(traceback.format_exception(caught.value))

    @pytest.mark.parametrize(
        "raw",
        [
            "",
            "redis://127.0.0.1:6379/0",
            "redis://redis.example.com",
            "rediss://webhooks:pw%2Fmore@redis.example.com:6380/1?ssl_cert_reqs=required",
            "redis://:p@ss:word@[::1]/0",
        ],
    )
    def test_takes_every_redis_a_client_would(self, raw: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("X", raw)

        assert env.redis("X") == raw

    def test_takes_a_text_as_it_stands(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("X", "$HOME")

        assert env.text("X") == "$HOME"

    def test_reads_a_secret_from_a_file(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        (tmp_path / "key").write_text("from-a-file\n")
        monkeypatch.setenv("X_FILE", str(tmp_path / "key"))

        assert env.text("X") == "from-a-file"


class TestChecks:
    @pytest.mark.parametrize(
        ("changes", "code"),
        [
            ({"ENCRYPTION_KEYS": ""}, "deliveries.E001"),
            ({"ENCRYPTION_KEYS": "short"}, "deliveries.E001"),
            ({"WEBHOOKS_LEASE_GRACE": "0.5"}, "deliveries.E002"),
        ],
    )
    def test_name_what_would_only_be_noticed_at_night(self, changes: dict[str, str], code: str) -> None:
        checked = subprocess.run(
            [sys.executable, "manage.py", "check"],
            cwd=ROOT,
            env={**os.environ, **changes},
            capture_output=True,
            text=True,
            check=False,
        )

        assert checked.returncode == 1
        assert code in checked.stderr

    def test_stop_the_web_server_too(self) -> None:
        served = subprocess.run(
            [sys.executable, "-c", "import webhooks_project.wsgi"],
            cwd=ROOT,
            env={**os.environ, "ENCRYPTION_KEYS": ""},
            capture_output=True,
            text=True,
            check=False,
        )

        assert served.returncode != 0
        assert "deliveries.E001" in served.stderr


class TestTransport:
    def test_is_the_quick_one_where_it_runs(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("sys.platform", "linux")
        assert env.has_pycurl()

        monkeypatch.setattr("sys.platform", "darwin")
        assert not env.has_pycurl()

        monkeypatch.setattr("sys.platform", "linux")
        monkeypatch.setitem(sys.modules, "pycurl", None)
        assert not env.has_pycurl()

    @pytest.mark.parametrize(
        ("before", "engine", "slots"),
        [("pass", "curl", 256), ("import sys; sys.modules['pycurl'] = None", "requests", 32)],
    )
    def test_decides_how_many_slots_there_are(self, before: str, engine: str, slots: int) -> None:
        show = "print(settings.WEBHOOKS_TRANSPORT, settings.WEBHOOKS_SLOTS)"
        shown = subprocess.run(
            [sys.executable, "-c", f"{before}; from webhooks_project import settings; {show}"],
            cwd=ROOT,
            env={name: value for name, value in os.environ.items() if name != "WEBHOOKS_TRANSPORT"},
            capture_output=True,
            text=True,
            check=True,
        )

        assert shown.stdout.split() == [engine, str(slots)]


class TestStatementTimeout:
    @pytest.mark.parametrize(
        ("start", "seconds"),
        [
            ("import webhooks_project.wsgi", 5),
            ("import webhooks_project.celery", 10),
            ("import sys, manage; sys.argv = ['manage.py', 'check']; manage.main()", 600),
            ("import sys, manage; sys.argv = ['manage.py', 'deliver', '--help']\ntry: manage.main()\n"
             "except SystemExit: pass", 10),
        ],
    )  # fmt: skip
    def test_fits_who_is_waiting(self, start: str, seconds: int) -> None:
        show = "from django.conf import settings; print(settings.DATABASES['default']['OPTIONS']['options'])"
        shown = subprocess.run(
            [sys.executable, "-c", f"{start}\n{show}"],
            cwd=ROOT,
            env={**os.environ, "DATABASE_URL": "postgres://nobody@localhost/nothing"},
            capture_output=True,
            text=True,
            check=True,
        )

        assert f"statement_timeout={seconds}s" in shown.stdout

    @pytest.mark.slow
    def test_is_that_of_a_page_where_gunicorn_serves_by_our_worker_class(self, tmp_path: Path) -> None:
        """Which reads the settings before gunicorn loads what it serves."""
        hook = tmp_path / "hook.py"
        hook.write_text(
            "import os, signal\n"
            "def post_worker_init(worker):\n"
            "    from django.conf import settings\n"
            "    print(settings.DATABASES['default']['OPTIONS']['options'], flush=True)\n"
            "    os.kill(os.getppid(), signal.SIGTERM)\n"
        )
        worker = ["--worker-class", "webhooks_project.web.Worker", "--no-control-socket"]
        command = [sys.executable, "-m", "gunicorn", "webhooks_project.wsgi", *worker]

        served = subprocess.run(
            [*command, "--bind", "127.0.0.1:0", "--config", str(hook)],
            cwd=ROOT,
            env={**os.environ, "DATABASE_URL": "postgres://nobody@localhost/nothing"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

        assert "statement_timeout=5s" in served.stdout, served.stderr


class TestVersion:
    def test_is_that_of_the_project(self) -> None:
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

        assert project["version"] == settings.VERSION
