from typing import Any

import pytest
from django.test import RequestFactory

from webhooks_project import clients


class TestAddress:
    @pytest.mark.parametrize(
        ("proxies", "peer", "forwarded", "address"),
        [
            (0, "192.0.2.1", None, "192.0.2.1"),
            (0, "192.0.2.1", "198.51.100.7", "192.0.2.1"),
            (1, "192.0.2.1", "198.51.100.7", "198.51.100.7"),
            (1, "192.0.2.1", "203.0.113.9, 198.51.100.7", "198.51.100.7"),
            (1, "192.0.2.1", "203.0.113.9,,198.51.100.7", "198.51.100.7"),
            (2, "192.0.2.1", "203.0.113.9, 198.51.100.7, 192.0.2.2", "198.51.100.7"),
            (2, "192.0.2.1", "198.51.100.7", "192.0.2.1"),
            (1, "192.0.2.1", None, "192.0.2.1"),
            (1, "192.0.2.1", "unknown", "192.0.2.1"),
            (1, "192.0.2.1", "198.51.100.7:51234", "198.51.100.7"),
            (1, "192.0.2.1", "[2001:db8::7]:51234", "2001:db8::"),
            (0, "2001:db8:1:2:3:4:5:6", None, "2001:db8:1:2::"),
            (0, "::ffff:192.0.2.1", None, "192.0.2.1"),
            (0, "", None, None),
            (1, "", "198.51.100.7", "198.51.100.7"),
        ],
    )
    def test_is_what_those_say_who_can_be_believed(
        self, proxies: int, peer: str, forwarded: str | None, address: str | None, settings: Any,
        rf: RequestFactory,
    ) -> None:  # fmt: skip
        settings.TRUSTED_PROXIES = proxies
        headers = {"x-forwarded-for": forwarded} if forwarded else {}

        assert clients.address(rf.get("/", headers=headers, REMOTE_ADDR=peer)) == address
