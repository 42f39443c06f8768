from typing import Any

import pytest

from deliveries import secrets
from deliveries.models import Sealed, Webhook
from tests import builders


class TestEncrypt:
    def test_comes_back_with_any_of_the_keys(self) -> None:
        old, new = secrets.new_key(), secrets.new_key()
        token = secrets.encrypt("canary", keys=[old])

        assert secrets.decrypt(token, keys=[new, old]) == "canary"
        assert "canary" not in token

    def test_uses_the_first_key(self) -> None:
        old, new = secrets.new_key(), secrets.new_key()
        token = secrets.encrypt("canary", keys=[new, old])

        with pytest.raises(secrets.Undecryptable):
            secrets.decrypt(token, keys=[old])

    @pytest.mark.parametrize("keys", [[], ["short"], ["x" * 44]])
    def test_wants_a_key_of_the_right_form(self, keys: list[str]) -> None:
        with pytest.raises(secrets.InvalidKey, match="ENCRYPTION_KEYS"):
            secrets.encrypt("canary", keys=keys)


@pytest.mark.django_db
class TestSealed:
    def test_shows_itself_to_nobody_who_does_not_ask(self) -> None:
        sealed = Sealed.of("canary")

        assert "canary" not in f"{sealed} {sealed!r} {[sealed]}"
        assert sealed.reveal() == "canary"

    def test_is_kept_encrypted(self) -> None:
        webhook = builders.a_webhook(secret="canary", custom_headers={"X-Token": "canary"})

        stored = Webhook.objects.filter(pk=webhook.pk).get()
        assert stored.secret is not None
        assert "canary" not in stored.secret.token
        assert stored.secret.reveal() == "canary"
        assert stored.reveal_headers() == {"X-Token": "canary"}

    def test_is_the_only_thing_the_column_takes(self) -> None:
        webhook = builders.a_webhook()

        with pytest.raises(TypeError, match="takes a Sealed"):
            Webhook.objects.filter(pk=webhook.pk).update(secret="readable")

    def test_spoils_no_query_when_its_key_is_gone(self, settings: Any) -> None:
        webhook = builders.a_webhook(secret="canary")
        settings.ENCRYPTION_KEYS = [secrets.new_key()]

        stored = Webhook.objects.get(pk=webhook.pk)

        assert stored.secret is not None
        with pytest.raises(secrets.Undecryptable):
            stored.secret.reveal()
