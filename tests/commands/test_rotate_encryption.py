"""`manage.py rotate_encryption`: by itself, beside changes, and under traffic."""

import io
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.core import serializers
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command
from django.db import connections

from deliveries import secrets
from deliveries.models import AuditEntry, Sealed, Webhook
from deliveries.services import encryption, webhooks
from tests import builders
from tests.commands.conftest import Run

OLD, NEW = secrets.new_key(), secrets.new_key()
SECRET, CREDENTIAL, HEADERS = "whsec_" + "c2VjcmV0" * 4, "credential-1", {"X-Token": "header-1"}


@pytest.fixture
def with_keys(settings: Any) -> Callable[..., None]:
    """Give this process other keys."""

    def with_keys(*keys: str) -> None:
        settings.ENCRYPTION_KEYS = list(keys)

    return with_keys


@pytest.fixture(autouse=True)
def _begin_with_the_old(with_keys: Callable[..., None]) -> None:
    with_keys(OLD)


def a_webhook_full_of_secrets() -> Webhook:
    webhook = builders.a_webhook(
        secret=SECRET,
        authorization_scheme="bearer",
        authorization_credential=CREDENTIAL,
        custom_headers=HEADERS,
    )
    webhooks.rotate_secret(webhook, overlap=timedelta(hours=1), by="a test", now=builders.NOW)
    webhook.refresh_from_db()
    return webhook


def readable(webhook: Webhook) -> tuple[object, ...]:
    webhook.refresh_from_db()
    return (
        *webhook.secrets_at(builders.NOW),
        webhook.authorization_credential and webhook.authorization_credential.reveal(),
        dict(webhook.reveal_headers()),
    )


def write_with_the_old_key(webhook: Webhook, secret: str, with_keys: Callable[..., None]) -> None:
    """Change a secret as a process does that was not restarted with the new key."""
    with_keys(OLD)
    Webhook.objects.filter(pk=webhook.pk).update(secret=Sealed.of(secret))
    with_keys(NEW, OLD)


def before_the_first_renewal(monkeypatch: pytest.MonkeyPatch, act: Callable[[], None]) -> None:
    """Have something happen while the first value is being rotated."""
    renew = secrets.renew

    def act_first(token: str, **keys: Any) -> str | None:
        monkeypatch.setattr(secrets, "renew", renew)
        act()
        return renew(token, **keys)

    monkeypatch.setattr(secrets, "renew", act_first)


class TestRotateEncryption:
    def test_leaves_everything_to_the_first_key(self, run: Run, with_keys: Callable[..., None]) -> None:
        webhook = a_webhook_full_of_secrets()
        before = readable(webhook)
        with_keys(NEW, OLD)

        said = run("rotate_encryption")

        assert said.stdout.startswith("Rotated 4 values; 0 had the first key already, 0 cannot be read.")
        assert "the others may be taken out now" in said.stdout
        with_keys(NEW)
        assert readable(webhook) == before

    def test_changes_nothing_else(self, run: Run, with_keys: Callable[..., None]) -> None:
        webhook = a_webhook_full_of_secrets()
        sealed = {"secret", "previous_secrets", "authorization_credential", "custom_headers"}
        columns = {each.attname for each in Webhook._meta.concrete_fields} - sealed
        before = Webhook.objects.values(*columns).get(pk=webhook.pk)
        revisions = webhook.revisions.count()
        with_keys(NEW, OLD)

        run("rotate_encryption")

        assert Webhook.objects.values(*columns).get(pk=webhook.pk) == before
        assert webhook.revisions.count() == revisions

    def test_has_nothing_to_do_the_second_time(self, run: Run, with_keys: Callable[..., None]) -> None:
        a_webhook_full_of_secrets()
        with_keys(NEW, OLD)
        run("rotate_encryption")

        said = run("rotate_encryption")

        assert said.stdout.startswith("Rotated 0 values; 4 had the first key already")
        assert AuditEntry.objects.filter(action="encryption.rotated").count() == 1

    def test_is_audited(self, run: Run, with_keys: Callable[..., None]) -> None:
        a_webhook_full_of_secrets()
        with_keys(NEW, OLD)

        run("rotate_encryption")

        entry = AuditEntry.objects.get(action="encryption.rotated")
        assert (entry.by, entry.details) == ("manage.py rotate_encryption", {"rotated": 4})

    def test_only_counts_in_a_dry_run(self, run: Run, with_keys: Callable[..., None]) -> None:
        webhook = a_webhook_full_of_secrets()
        with_keys(NEW, OLD)

        said = run("rotate_encryption", "--dry-run")

        assert said.stdout == "Would rotate 4 values; 0 had the first key already, 0 cannot be read.\n"
        with_keys(OLD)
        assert readable(webhook)

    def test_names_what_no_key_opens_and_does_the_rest(
        self, run: Run, with_keys: Callable[..., None]
    ) -> None:
        lost, kept = builders.a_webhook(secret=SECRET), builders.a_webhook(secret=SECRET)
        with_keys(secrets.new_key())
        Webhook.objects.filter(pk=lost.pk).update(secret=Sealed.of("x"))
        with_keys(NEW, OLD)

        with pytest.raises(CommandError, match=f"1 cannot be read.(?s:.*)Webhook {lost.pk}: secret"):
            run("rotate_encryption")

        with_keys(NEW)
        assert readable(kept)[0] == SECRET

    def test_names_only_the_first_of_many_and_says_what_to_do(
        self, run: Run, with_keys: Callable[..., None], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(encryption, "NAMED", 2)
        account = builders.an_account()
        for _ in range(5):
            builders.a_webhook(account, secret=SECRET)
        with_keys(NEW)

        with pytest.raises(CommandError) as refused:
            run("rotate_encryption")

        said = str(refused.value).splitlines()
        assert said[0].endswith("5 cannot be read.")
        assert "Put the key that sealed them at the end of ENCRYPTION_KEYS" in said[1]
        assert [line.startswith("Webhook ") for line in said[3:]] == [True, True, False]
        assert said[-1] == "and 3 more."

    def test_goes_from_batch_to_batch(
        self, run: Run, with_keys: Callable[..., None], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(encryption, "BATCH", 2)
        account = builders.an_account()
        for _ in range(5):
            builders.a_webhook(account, secret=SECRET)
        with_keys(NEW, OLD)

        assert run("rotate_encryption").stdout.startswith("Rotated 5 values;")

    def test_keeps_what_somebody_changes_meanwhile(
        self, run: Run, with_keys: Callable[..., None], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        webhook = builders.a_webhook(secret=SECRET)
        with_keys(NEW, OLD)
        before_the_first_renewal(monkeypatch, lambda: write_with_the_old_key(webhook, "changed", with_keys))

        said = run("rotate_encryption")

        assert said.stdout.startswith("Rotated 1 values; 0 had the first key already")
        with_keys(NEW)
        assert readable(webhook)[0] == "changed"

    def test_finds_what_somebody_writes_behind_its_back(
        self, run: Run, with_keys: Callable[..., None], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """With the old key, in a column it has gone through."""
        behind = builders.a_webhook()
        builders.a_webhook(behind.account, custom_headers=HEADERS)
        with_keys(NEW, OLD)
        before_the_first_renewal(monkeypatch, lambda: write_with_the_old_key(behind, "written", with_keys))

        said = run("rotate_encryption")

        assert said.stdout.startswith("Rotated 2 values; 0 had the first key already")
        with_keys(NEW)
        assert readable(behind)[0] == "written"

    def test_does_not_promise_what_somebody_keeps_breaking(
        self, run: Run, with_keys: Callable[..., None], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        webhook = builders.a_webhook(secret=SECRET)
        replace = encryption._replace
        with_keys(NEW, OLD)

        def write_again(*arguments: Any) -> bool:
            replaced = replace(*arguments)
            write_with_the_old_key(webhook, "written", with_keys)
            return replaced

        monkeypatch.setattr(encryption, "_replace", write_again)

        with pytest.raises(CommandError, match="1 are still written with an old key"):
            run("rotate_encryption")

    def test_wants_a_key(self, run: Run, with_keys: Callable[..., None]) -> None:
        builders.a_webhook(secret=SECRET)
        with_keys()

        with pytest.raises(secrets.InvalidKey):
            run("rotate_encryption")


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
class TestUnderTraffic:
    def test_never_leaves_a_secret_that_cannot_be_read(self, with_keys: Callable[..., None]) -> None:
        account = builders.an_account()
        rows = [builders.a_webhook(account, secret=SECRET, custom_headers=HEADERS) for _ in range(40)]
        with_keys(NEW, OLD)
        stop, reads = threading.Event(), [0]
        wrong: list[Exception] = []

        def in_a_thread(work: Callable[[], None]) -> threading.Thread:
            def run() -> None:
                try:
                    while not stop.is_set():
                        work()
                except Exception as error:  # whatever it is, the test is to say so
                    wrong.append(error)
                finally:
                    connections.close_all()

            thread = threading.Thread(target=run)
            thread.start()
            return thread

        def deliver() -> None:
            """Read what each request needs, as the dispatcher does."""
            for webhook in Webhook.objects.filter(account=account):
                if webhook.secrets_at(builders.NOW)[0][:6] != "whsec_" or webhook.reveal_headers() != HEADERS:
                    wrong.append(AssertionError(webhook.pk))
                reads[0] += 1

        def change() -> None:
            """Renew secrets, as their owners do."""
            for webhook in rows[::4]:
                webhooks.rotate_secret(webhook, overlap=timedelta(0), by="a test", now=builders.NOW)
            time.sleep(0.01)

        threads = [in_a_thread(deliver), in_a_thread(deliver), in_a_thread(change)]
        for _ in range(5):
            call_command("rotate_encryption", stdout=io.StringIO())
            time.sleep(0.2)
        stop.set()
        for thread in threads:
            thread.join()

        assert wrong == []
        assert reads[0] > 100
        with_keys(NEW)
        deliver()
        assert wrong == []


@pytest.mark.django_db
class TestFixtures:
    def test_hold_what_is_sealed_and_give_it_back(self) -> None:
        webhook = a_webhook_full_of_secrets()
        before = readable(webhook)

        dump = serializers.serialize("json", [webhook])
        Webhook.objects.filter(pk=webhook.pk).update(secret=None, custom_headers=None)
        (loaded,) = serializers.deserialize("json", dump)
        loaded.save()

        assert SECRET not in dump
        assert "header-1" not in dump
        assert readable(webhook) == before

    def test_put_no_plain_text_in(self) -> None:
        with pytest.raises(ValidationError):
            Webhook._meta.get_field("secret").to_python(SECRET)
