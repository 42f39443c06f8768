import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client
from django.urls import URLPattern

from deliveries.api.failures import urls as failures
from deliveries.api.logs import urls as logs
from deliveries.api.native import urls as native
from deliveries.api.views import UnknownPathView

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
OTHERS = ["OPTIONS", "TRACE", "BREW"]
UNKNOWN = "0b97ce11-b6e0-49b4-8f92-68040aa324bf"


def paths() -> Iterator[tuple[str, list[str]]]:
    """Give every path of the three contracts, with the methods it has."""
    for start, module in (("/api/v4/", failures), ("/api/v1/", logs), ("/api/v1/", native)):
        for each in module.urlpatterns:
            assert isinstance(each, URLPattern)
            view: Any = each.callback
            if issubclass(view.cls, UnknownPathView):
                continue
            path = re.sub(r"\(\?P<\w+>[^)]+\)", UNKNOWN, str(each.pattern).strip("^$")).removesuffix("/?")
            actions = [method.upper() for method in view.actions]
            yield start + path, [m for m in METHODS if m in actions or (m == "HEAD" and "GET" in actions)]


PATHS = dict(paths())


def test_every_contract_has_paths() -> None:
    assert {"/api/v4/tasks/webhook_failures", f"/api/v1/agents/{UNKNOWN}/webhooks", "/api/v1/events"} <= set(
        PATHS
    )


@pytest.mark.parametrize("path", PATHS)
class TestEveryPath:
    def test_says_what_it_allows_where_it_does_not(self, api: Client, path: str) -> None:
        allowed = PATHS[path]
        for method in METHODS + OTHERS:
            answer = api.generic(method, path)

            assert (answer.status_code == 405) is (method not in allowed), method
            if method not in allowed:
                assert answer.headers["Allow"] == ", ".join(allowed), method
            else:
                assert "Allow" not in answer.headers

    def test_says_how_to_bring_a_key(self, db: None, client: Client, path: str) -> None:
        for method in METHODS + OTHERS:
            missing = client.generic(method, path)
            wrong = client.generic(method, path, headers={"authorization": "Bearer whk_abc_def"})

            assert (missing.status_code, wrong.status_code) == (401, 401)
            assert missing.headers["WWW-Authenticate"] == "Bearer"
            assert wrong.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'
