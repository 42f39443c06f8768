"""manage.py create_api_key."""

from datetime import timedelta

import pytest
from django.core.management import CommandError
from django.utils import timezone

from deliveries.models import Account, ApiKey, AuditEntry, Scope
from tests import builders
from tests.commands.conftest import Run


class TestCreateApiKey:
    def test_prints_the_key_and_nothing_else(self, run: Run, account: Account) -> None:
        said = run("create_api_key", "--account", account.name, "--name", "CRM")

        assert said.stdout.endswith("\n")
        assert said.stdout.count("\n") == 1
        key = ApiKey.objects.find(said.stdout.strip(), now=timezone.now())
        assert key is not None
        assert (key.account, key.name, key.scopes) == (account, "CRM", list(Scope))
        assert key.expires_at is None
        assert str(account) in said.stderr
        assert said.stdout.strip() not in said.stderr

    def test_leaves_one_audit_row(self, run: Run, account: Account) -> None:
        said = run("create_api_key", "--account", account.name, "--name", "CRM", "--scope", "events.read")

        entry = AuditEntry.objects.get()
        assert (entry.action, entry.by, entry.account) == (
            "api_key.created",
            "manage.py create_api_key",
            account,
        )
        assert entry.subject_id == str(ApiKey.objects.get().pk)
        assert entry.details == {"name": "CRM", "scopes": ["events.read"]}
        assert said.stdout.strip().split("_")[2] not in str(vars(entry))

    def test_takes_an_account_s_id(self, run: Run, account: Account) -> None:
        builders.an_account(name=account.name)

        run("create_api_key", "--account", str(account.pk))

        assert ApiKey.objects.get().account == account

    def test_takes_scopes_and_an_end(self, run: Run, account: Account) -> None:
        run(
            "create_api_key",
            *("--account", account.name),
            *("--scope", "events.read", "--scope", "events.publish"),
            *("--expires-in-days", "30"),
        )

        key = ApiKey.objects.get()
        assert key.scopes == ["events.read", "events.publish"]
        assert key.expires_at == key.created_at + timedelta(days=30)

    def test_makes_the_account_on_demand(self, run: Run) -> None:
        run("create_api_key", "--account", "New customer", "--create-account")
        run("create_api_key", "--account", "New customer", "--create-account")

        assert Account.objects.get().name == "New customer"
        assert Account.objects.get().api_keys.count() == 2
        opened = AuditEntry.objects.get(action="account.created")
        assert (opened.by, opened.details) == ("manage.py create_api_key", {"name": "New customer"})

    @pytest.mark.parametrize("account", ["Nobody", "0b97ce11-b6e0-49b4-8f92-68040aa324bf"])
    def test_refuses_an_unknown_account(self, run: Run, account: str) -> None:
        with pytest.raises(
            CommandError, match=f"No account has the id or the name {account}. .*--create-account"
        ):
            run("create_api_key", "--account", account)

    def test_never_makes_an_account_named_like_an_id(self, run: Run) -> None:
        with pytest.raises(CommandError, match="No account"):
            run("create_api_key", "--account", "0b97ce11-b6e0-49b4-8f92-68040aa324bf", "--create-account")

        assert not Account.objects.exists()

    @pytest.mark.parametrize("account", ["   ", "\t", "Har\nbour", "Har\x1b[31mbour", "\udcff", "\x7f"])
    def test_refuses_a_name_that_nobody_could_read(self, run: Run, account: str) -> None:
        with pytest.raises(CommandError, match="write a name"):
            run("create_api_key", "--account", account, "--create-account")
        with pytest.raises(CommandError, match="write a name"):
            run("create_api_key", "--account", "New customer", "--create-account", "--name", account)

        assert not Account.objects.exists()

    @pytest.mark.parametrize("account", ["Hafen München", "港の電話", "Port\u00a0de\u3000mer", "👩‍👩‍👧"])
    def test_takes_a_name_in_any_script(self, run: Run, account: str) -> None:
        run("create_api_key", "--account", account, "--create-account")

        assert Account.objects.get().name == account

    def test_keeps_a_scope_once(self, run: Run, account: Account) -> None:
        twice = ["--scope", "events.read", "--scope", "events.publish", "--scope", "events.read"]

        run("create_api_key", "--account", account.name, *twice)

        assert ApiKey.objects.get().scopes == ["events.read", "events.publish"]

    def test_refuses_a_name_that_several_have(self, run: Run) -> None:
        first, second = builders.an_account(), builders.an_account()

        with pytest.raises(CommandError, match=f"give an id instead: {first.pk}, {second.pk}"):
            run("create_api_key", "--account", first.name)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--scope", "everything"], "everything is not a scope; there are .*events.publish"),
            (["--expires-in-days", "0"], "a whole number of days"),
            (["--expires-in-days", "1.5"], "a whole number of days"),
            (["--expires-in-days", "9999999999"], "a whole number of days"),
            (["--name", ""], "1 to 255 characters"),
        ],
    )
    def test_says_what_is_wrong(self, run: Run, account: Account, arguments: list[str], message: str) -> None:
        with pytest.raises(CommandError, match=message):
            run("create_api_key", "--account", account.name, *arguments)

        assert not ApiKey.objects.exists()
