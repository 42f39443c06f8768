import hmac
from datetime import datetime, timedelta
from typing import Any
from unittest.mock import Mock

import pytest

from deliveries.models import Account, ApiKey, Scope
from deliveries.models import account as models
from tests import builders


class TestApiKey:
    def test_is_found_by_its_text(self, account: Account, now: datetime) -> None:
        text = builders.a_key(account, Scope.EVENTS_READ)

        key = ApiKey.objects.find(text, now=now)

        assert key is not None
        assert key.account == account
        assert key.scopes == ["events.read"]

    def test_is_stored_nowhere(self, account: Account) -> None:
        secret = builders.a_key(account).split("_")[2]

        row = ApiKey.objects.values().get()

        assert not [value for value in row.values() if secret[:64] in str(value)]

    @pytest.mark.parametrize(
        "change", [str.upper, lambda text: text[:-1], lambda text: f"{text}0", lambda text: ""]
    )
    def test_is_not_found_by_any_other_text(
        self, change: "type[str]", account: Account, now: datetime
    ) -> None:
        assert ApiKey.objects.find(change(builders.a_key(account)), now=now) is None

    @pytest.mark.parametrize("text", ["whk_", "whk__", "_", "whk_\x00_", "whk_é_é", "x" * 100_000])
    def test_takes_any_text(self, text: str, account: Account, now: datetime) -> None:
        assert ApiKey.objects.find(text, now=now) is None

    def test_is_of_no_use_with_the_secret_of_another(self, account: Account, now: datetime) -> None:
        mine, other = builders.a_key(account), builders.a_key(account)
        forged = mine.replace(mine.split("_")[2], other.split("_")[2])

        assert ApiKey.objects.find(forged, now=now) is None

    def test_ends_when_it_expires_or_is_revoked(self, account: Account, now: datetime) -> None:
        text = builders.a_key(account, expires_at=now + timedelta(seconds=1))
        assert ApiKey.objects.find(text, now=now)

        assert ApiKey.objects.find(text, now=now + timedelta(seconds=1)) is None
        ApiKey.objects.update(expires_at=None, revoked_at=now)
        assert ApiKey.objects.find(text, now=now) is None

    def test_notes_its_use_to_the_minute(self, account: Account, now: datetime) -> None:
        key = ApiKey.objects.find(builders.a_key(account), now=now)
        assert key is not None

        for seconds, noted in [(0, 0), (59, 0), (60, 60)]:
            key.touch(now=now + timedelta(seconds=seconds))
            key.refresh_from_db()
            assert key.last_used_at == now + timedelta(seconds=noted)

    def test_notes_one_of_the_uses_that_come_at_once(self, account: Account, now: datetime) -> None:
        text = builders.a_key(account)
        seen_at_once = [ApiKey.objects.find(text, now=now) for _ in range(3)]

        for key, seconds in zip(seen_at_once, (1, 2, 0), strict=True):
            assert key is not None
            key.touch(now=now + timedelta(seconds=seconds))

        assert ApiKey.objects.get().last_used_at == now + timedelta(seconds=1)

    def test_may_be_deleted_while_it_is_used(self, account: Account, now: datetime) -> None:
        key = ApiKey.objects.find(builders.a_key(account), now=now)
        assert key is not None
        ApiKey.objects.all().delete()

        key.touch(now=now)

        assert not ApiKey.objects.exists()

    @pytest.mark.parametrize("change", ["", "secret", "prefix", "form"])
    def test_costs_the_same_work_whether_its_prefix_is_known(
        self,
        account: Account,
        now: datetime,
        change: str,
        monkeypatch: pytest.MonkeyPatch,
        django_assert_num_queries: Any,
    ) -> None:
        mine, other = builders.a_key(account), builders.a_key(account)
        ApiKey.objects.filter(prefix=other.split("_")[1]).delete()
        texts = {
            "": mine,
            "secret": mine[:-72]
            + models._parts(other)[1]
            + models._checksum(mine.split("_")[1], other[-72:-8]),
            "prefix": other,
            "form": "whk_nothing",
        }
        digest, compare = Mock(wraps=models._digest), Mock(wraps=hmac.compare_digest)
        monkeypatch.setattr(models, "_digest", digest)
        monkeypatch.setattr(hmac, "compare_digest", compare)

        with django_assert_num_queries(1):
            found = ApiKey.objects.find(texts[change], now=now)

        assert (found is not None) is (change == "")
        assert digest.call_count == compare.call_count == 1
        assert {len(each) for each in compare.call_args.args} == {64}
