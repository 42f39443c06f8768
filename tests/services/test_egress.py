from typing import Any

import pytest

from deliveries.services import egress
from deliveries.transport import RequestsTransport
from deliveries.transport.curl_engine import CurlTransport


class TestTheTransport:
    @pytest.mark.parametrize(("name", "kind"), [("requests", RequestsTransport), ("curl", CurlTransport)])
    def test_is_the_one_the_settings_name(self, settings: Any, name: str, kind: type) -> None:
        settings.WEBHOOKS_TRANSPORT = name

        transport = egress.transport(slots=3)

        assert isinstance(transport, kind)
        assert transport.slots == 3
        transport.close()
