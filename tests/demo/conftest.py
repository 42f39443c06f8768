"""The receiver as it is routed under `manage.py up`."""

from typing import Any

import pytest

from deliveries.demo import views
from deliveries.demo.receivers import Behaviour, Receivers


@pytest.fixture
def receivers(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Receivers:
    """Receivers nobody has used before, reached below /demo/."""
    fresh = Receivers({"healthy": Behaviour.OK, "flaky": Behaviour.FLAKY})
    monkeypatch.setattr(views, "RECEIVERS", fresh)
    settings.ROOT_URLCONF = "tests.demo.urls"
    settings.WEBHOOKS_DEMO_RECEIVER = "http://127.0.0.1:8000/demo/"
    return fresh
