from datetime import UTC, datetime

import pytest
from standardwebhooks.webhooks import Webhook as Oracle

from deliveries import signing

BODY = '{"call_id":"ü"}'.encode()


def sign(*keys: str, at: int = 1_700_000_000) -> str:
    return signing.sign(message_id="msg_1", timestamp=at, body=BODY, keys=keys)


class TestSign:
    def test_makes_what_the_published_library_makes(self) -> None:
        secret = signing.new_secret()
        at = datetime.fromtimestamp(1_700_000_000, UTC)

        assert sign(secret) == Oracle(secret).sign("msg_1", at, BODY.decode())

    def test_is_verified_by_the_published_library(self) -> None:
        old, new = signing.new_secret(), signing.new_secret()
        now = int(datetime.now(UTC).timestamp())
        headers = {
            "webhook-id": "msg_1",
            "webhook-timestamp": str(now),
            "webhook-signature": sign(old, new, at=now),
        }

        for secret in (old, new):
            assert Oracle(secret).verify(BODY, headers) == {"call_id": "ü"}

    def test_takes_a_secret_of_any_other_form_as_text(self) -> None:
        assert signing.key_bytes("pässword") == "pässword".encode()

    @pytest.mark.parametrize("secret", ["whsec_not base64!", "whsec_", "whsec_ü"])
    def test_refuses_a_secret_that_promises_base64_and_is_not(self, secret: str) -> None:
        with pytest.raises(ValueError, match="must go on in base64"):
            sign(secret)


class TestVerify:
    def test_finds_the_right_one_among_several(self) -> None:
        key = signing.new_secret()
        signature = sign(signing.new_secret(), key)

        assert signing.verify(
            message_id="msg_1", timestamp=1_700_000_000, body=BODY, key=key, signature=signature
        )

    @pytest.mark.parametrize(
        "changes",
        [{"message_id": "msg_2"}, {"timestamp": 1}, {"body": b"{}"}, {"signature": "v1,ü nonsense"}],
    )
    def test_refuses_what_was_changed_on_the_way(self, changes: dict[str, object]) -> None:
        key = signing.new_secret()
        parts = {"message_id": "msg_1", "timestamp": 1_700_000_000, "body": BODY, "signature": sign(key)}

        assert not signing.verify(key=key, **{**parts, **changes})  # type: ignore[arg-type]
