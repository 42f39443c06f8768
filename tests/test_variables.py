"""What the settings read, as it may be shown: each variable once, and no secret."""

from collections.abc import Callable
from pathlib import Path

import pytest
from django.conf import settings

from tests.test_readme import settings_in_the_code
from webhooks_project import env, variables
from webhooks_project.variables import HIDDEN, Variable

Read = Callable[[], object]


@pytest.fixture(autouse=True)
def nothing_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    """What these tests read is not what the settings did."""
    monkeypatch.setattr(variables, "_noted", {})


def noted(read: Read, monkeypatch: pytest.MonkeyPatch, given: str | None = None) -> Variable:
    if given is not None:
        monkeypatch.setenv("X", given)
    read()
    (variable,) = env.as_read().read
    return variable


class TestReading:
    def test_is_noted_of_every_variable_of_the_settings(self) -> None:
        read = [variable.name for variable in settings.ENVIRONMENT.read]

        assert read == sorted(settings_in_the_code())

    @pytest.mark.parametrize(
        ("read", "given", "value", "default"),
        [
            (lambda: env.text("X", "usual"), "odd", "odd", "usual"),
            (lambda: env.texts("X", ["a", "b"]), "a", "a", "a,b"),
            (lambda: env.boolean("X", True), "False", "False", "true"),
            (lambda: env.count("X", 10), "11", "11", "10"),
            (lambda: env.seconds("X", 1), "1.5", "1.5", "1"),
            (lambda: env.delays("X", [1, 2]), "1,3", "1,3", "1,2"),
            (lambda: env.limit("X", "1/minute"), "", "", "1/minute"),
            (lambda: env.networks("X"), "10.0.0.0/8", "10.0.0.0/8", ""),
            (lambda: env.choice("X", ["a", "b"], "b"), "a", "a", "b"),
            (lambda: env.text("X"), "http://me:canary@example.com/a", "http://***@example.com/a", ""),
            (lambda: env.text("X"), "http://me:ca/nary@example.com", "http://***@example.com", ""),
        ],
    )
    def test_notes_what_differs(
        self, read: Read, given: str, value: str, default: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        found = noted(read, monkeypatch, given)

        assert found == Variable(name="X", value=value, default=default, changed=True)

    @pytest.mark.parametrize(
        ("read", "given"),
        [
            (lambda: env.text("X", "usual"), None),
            (lambda: env.text("X", "usual"), " usual\n"),
            (lambda: env.texts("X", ["a", "b"]), "a, b"),
            (lambda: env.boolean("X", True), "TRUE"),
            (lambda: env.count("X", 10), "010"),
            (lambda: env.delays("X", [1, 2.5]), "1.0, 2.5"),
            (lambda: env.limit("X", ""), ""),
            (lambda: env.redis("X"), None),
        ],
    )
    def test_takes_another_spelling_for_no_change(
        self, read: Read, given: str | None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert not noted(read, monkeypatch, given).changed

    def test_follows_a_file(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        (tmp_path / "x").write_text("11\n")
        monkeypatch.setenv("X_FILE", str(tmp_path / "x"))

        assert noted(lambda: env.count("X", 10), monkeypatch).value == "11"


class TestSecret:
    @pytest.mark.parametrize(
        ("read", "given", "value"),
        [
            (lambda: env.text("X", secret=True), "canary", HIDDEN),
            (lambda: env.texts("X", secret=True), "canary,canary", HIDDEN),
            (lambda: env.redis("X"), "redis://canary:canary@host:1/2", "redis://***@host:1/2"),
            (lambda: env.redis("X"), "redis://:can@ary@[::1]/0?password=canary", "redis://***@[::1]/0?***"),
            (lambda: env.redis("X"), "redis://host", "redis://host"),
            (
                lambda: env.database("X", "sqlite:///x"),
                "postgres://canary:canary@host/name?sslpassword=canary",
                "postgres://***@host/name?***",
            ),
            # The port is a part of the password.
            (lambda: env.database("X", "sqlite:///x"), "postgres://canary@canary:12/3@host/name", HIDDEN),
            (lambda: env.database("X", "sqlite:///x"), "sqlite:////var/x", "sqlite:////var/x"),
        ],
    )
    def test_is_kept_nowhere(
        self, read: Read, given: str, value: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        found = noted(read, monkeypatch, given)

        assert (found.value, found.changed) == (value, True)
        assert "canary" not in repr(variables._noted)

    def test_is_what_is_called_so(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("X_KEY", "X_TOKEN", "X_PASSWORD", "SECRET_X", "X_CREDENTIALS"):
            monkeypatch.setenv(name, "canary")
            env.text(name)

        assert {variable.value for variable in env.as_read().read} == {HIDDEN}

    def test_that_is_not_set_is_not_hidden(self, monkeypatch: pytest.MonkeyPatch) -> None:
        found = noted(lambda: env.text("X", secret=True), monkeypatch)

        assert (found.value, found.changed) == ("", False)


class TestUnread:
    def test_is_what_begins_like_ours(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("WEBHOOKS_SLOT", "WEBHOOKS_SLOTS", "WEBHOOKS_WATCHDOG_FILE", "WEBHOOK_SLOTS", "SLOTS"):
            monkeypatch.setenv(name, "")
        env.text("WEBHOOKS_SLOTS")
        env.text("WEBHOOKS_WATCHDOG")

        unread = env.as_read().unread

        assert "WEBHOOKS_SLOT" in unread
        assert not {"WEBHOOKS_SLOTS", "WEBHOOKS_WATCHDOG_FILE", "WEBHOOK_SLOTS", "SLOTS"} & set(unread)
