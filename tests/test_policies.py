from typing import Any

import pytest
from django.test import Client

from webhooks_project.policies import AREAS, ELSEWHERE, HEADER

# A path of each kind, and the area it belongs to; all else may load nothing.
PATHS = {
    "/admin/login/": "/admin/",
    "/admin/deliveries/delivery/": "/admin/",
    "/admin/no-such-page/": "/admin/",
    "/docs/": "/docs/",
    "/": None,
    "/admin": None,
    "/api/v1/events": None,
    "/api/v4/tasks/webhook_failures": None,
    "/no/such/page": None,
    "/schema/native.yaml": None,
    "/healthz": None,
}


def directives(policy: str) -> dict[str, str]:
    return dict(part.split(" ", 1) for part in policy.split("; "))


def failing(*args: object, **kwargs: object) -> None:
    raise RuntimeError


class TestPolicy:
    @pytest.mark.parametrize("path", PATHS)
    def test_of_an_area_comes_with_each_of_its_answers(self, client: Client, db: None, path: str) -> None:
        area = PATHS[path]

        policy = client.get(path).headers[HEADER]

        assert policy == (AREAS[area] if area else ELSEWHERE)

    def test_comes_with_what_fails(self, client: Client, monkeypatch: pytest.MonkeyPatch, db: None) -> None:
        monkeypatch.setattr("django.contrib.auth.views.LoginView.get_context_data", failing)
        client.raise_request_exception = False

        answer = client.get("/admin/login/")

        assert answer.status_code == 500
        assert answer.headers[HEADER] == AREAS["/admin/"]

    def test_comes_with_the_refusal_of_debug_pages(self, client: Client, settings: Any) -> None:
        settings.DEBUG = True

        answer = client.get("/admin/", REMOTE_ADDR="192.0.2.7")

        assert answer.status_code == 403
        assert answer.headers[HEADER] == AREAS["/admin/"]
        assert answer.headers["X-Request-Id"]

    @pytest.mark.parametrize("policy", [*AREAS.values(), ELSEWHERE])
    def test_lets_no_page_run_what_stands_in_it(self, policy: str) -> None:
        found = directives(policy)

        assert found["default-src"] == "'none'"
        assert found.get("script-src", "'self'") == "'self'"
        assert "unsafe-eval" not in policy
        assert "http" not in policy
        assert "*" not in policy
        assert found["base-uri"] == found["frame-ancestors"] == "'none'"
        assert found["form-action"] in ("'none'", "'self'")

    def test_lets_no_area_draw_or_run_as_it_likes(self) -> None:
        assert [area for area, policy in AREAS.items() if "unsafe" in policy] == []
