"""Logging in to the console: too many attempts, how long a session lives, and what is remembered of it."""

import logging
import re
import secrets
import time
from datetime import timedelta
from http import HTTPStatus
from ipaddress import IPv6Address
from typing import Any

import limits
import pytest
from axes.models import AccessAttempt, AccessLog
from django.conf import settings as project
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from deliveries.admin import logins
from deliveries.services import retention

PASSWORD = "correct-horse-battery-14"
HERE, ELSEWHERE = "192.0.2.10", "198.51.100.20"
LOGIN, CONSOLE = "/admin/login/", "/admin/"


@pytest.fixture(autouse=True)
def quick(settings: Any) -> None:
    """Passwords that cost nothing to check."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """One address for all the tests, which come faster than people."""
    monkeypatch.setattr(logins, "POSTS", limits.parse("1000000/minute"))


@pytest.fixture
def person(db: None, quick: None) -> User:
    """Somebody with a password."""
    return User.objects.create_superuser("ada", password=PASSWORD)


def attempt(
    password: str, *, at: str = HERE, name: str = "ada", client: Client | None = None, **more: Any
) -> HttpResponse:
    form = {"username": name, "password": password, "next": CONSOLE}
    answer: Any = (client or Client()).post(LOGIN, form, REMOTE_ADDR=at, **more)
    return answer  # type: ignore[no-any-return]


def fail(times: int = project.AXES_FAILURE_LIMIT, **more: Any) -> HttpResponse:
    return [attempt("wrong", **more) for _ in range(times)][-1]


def age_attempts(by: timedelta) -> None:
    for row in AccessAttempt.objects.all():
        AccessAttempt.objects.filter(pk=row.pk).update(attempt_time=row.attempt_time - by)


class TestTooManyAttempts:
    def test_lock_the_name_out_for_that_address(self, person: User) -> None:
        assert fail().status_code == HTTPStatus.TOO_MANY_REQUESTS

        assert attempt(PASSWORD).status_code == HTTPStatus.TOO_MANY_REQUESTS

    def test_are_more_than_a_few(self, person: User) -> None:
        fail(project.AXES_FAILURE_LIMIT - 1)

        assert attempt(PASSWORD).status_code == HTTPStatus.FOUND

    def test_lock_nobody_else_out(self, person: User) -> None:
        User.objects.create_superuser("grace", password=PASSWORD)
        fail()

        assert attempt(PASSWORD, at=ELSEWHERE).status_code == HTTPStatus.FOUND
        assert attempt(PASSWORD, name="grace").status_code == HTTPStatus.FOUND

    def test_are_told_when_to_come_back(self, person: User) -> None:
        page = fail()

        text, after = page.content.decode(), int(page.headers["Retry-After"])
        assert "There were too many attempts to log in under this name from your address." in text
        again = re.search(r"Try again after (\d\d:\d\d) UTC", text)
        assert again is not None
        assert again[1] in {
            f"{timezone.now() + timedelta(seconds=after + off):%H:%M}" for off in (-1, 0, 1, 2)
        }
        assert 880 <= after <= 900

    def test_are_forgotten_after_a_while(self, person: User) -> None:
        fail()
        age_attempts(by=project.AXES_COOLOFF_TIME)

        assert attempt(PASSWORD).status_code == HTTPStatus.FOUND

    def test_do_not_prolong_the_wait(self, person: User) -> None:
        fail()
        age_attempts(by=timedelta(minutes=10))
        later = fail()
        age_attempts(by=timedelta(minutes=5))

        assert 280 <= int(later.headers["Retry-After"]) <= 300
        assert attempt(PASSWORD).status_code == HTTPStatus.FOUND

    def test_are_forgotten_after_a_success(self, person: User) -> None:
        fail(project.AXES_FAILURE_LIMIT - 1)
        attempt(PASSWORD)
        fail(project.AXES_FAILURE_LIMIT - 1)

        assert attempt(PASSWORD).status_code == HTTPStatus.FOUND

    def test_tell_nobody_which_names_there_are(self, person: User) -> None:
        known, unknown = fail(), fail(name="nobody-here")

        assert known.status_code == unknown.status_code == HTTPStatus.TOO_MANY_REQUESTS
        assert len(known.content) == len(unknown.content)

    @pytest.mark.parametrize("proxies", [0, 1])
    def test_are_not_excused_by_an_address_somebody_made_up(
        self, person: User, proxies: int, settings: Any
    ) -> None:
        settings.TRUSTED_PROXIES = proxies
        forwarded = "203.0.113.{}" if proxies == 0 else "203.0.113.{}, 192.0.2.99"
        for number in range(project.AXES_FAILURE_LIMIT):
            last = attempt("wrong", headers={"x-forwarded-for": forwarded.format(number)})

        assert last.status_code == HTTPStatus.TOO_MANY_REQUESTS

    def test_behind_a_proxy_are_counted_for_each_client(self, person: User, settings: Any) -> None:
        settings.TRUSTED_PROXIES = 1
        fail(headers={"x-forwarded-for": HERE})

        assert attempt(PASSWORD, headers={"x-forwarded-for": HERE}).status_code == 429
        assert attempt(PASSWORD, headers={"x-forwarded-for": ELSEWHERE}).status_code == HTTPStatus.FOUND

    def test_by_one_browser_after_another_are_counted_together(self, person: User) -> None:
        for number in range(project.AXES_FAILURE_LIMIT):
            last = attempt("wrong", headers={"user-agent": f"browser {number}"})

        assert last.status_code == HTTPStatus.TOO_MANY_REQUESTS


@pytest.mark.django_db
class TestTooManyNames:
    @pytest.fixture(autouse=True)
    def few(self, monkeypatch: pytest.MonkeyPatch, patient: None) -> None:
        """Let three come from one address."""
        monkeypatch.setattr(logins, "POSTS", limits.parse("3/minute"))

    @pytest.fixture
    def address(self) -> str:
        """An address nobody has counted yet."""
        return str(IPv6Address(secrets.randbits(64) << 64))

    @pytest.fixture
    def checked(self, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        """The passwords somebody spent time on."""
        checked: list[str] = []

        def check(self: ModelBackend, request: Any, username: str = "", **kwargs: Any) -> None:
            checked.append(username)

        monkeypatch.setattr(ModelBackend, "authenticate", check)
        return checked

    def test_cost_an_address_its_next_attempts(self, address: str, checked: list[str]) -> None:
        # At the edge of a minute there may be one more.
        answers = [attempt("wrong", at=address, name=f"name-{number}") for number in range(8)]

        assert [answer.status_code for answer in answers[:3]] == [HTTPStatus.OK] * 3
        assert answers[-1].status_code == HTTPStatus.TOO_MANY_REQUESTS
        assert len(checked) <= 5
        text = answers[-1].content.decode()
        assert "There were too many attempts to log in from your address." in text
        assert 1 <= int(answers[-1].headers["Retry-After"]) <= 60

    def test_cost_nobody_else_anything(self, address: str, checked: list[str]) -> None:
        for number in range(8):
            attempt("wrong", at=address, name=f"name-{number}")

        assert attempt("wrong", at=str(IPv6Address(address) + 2**64)).status_code == HTTPStatus.OK
        assert Client().get(LOGIN, REMOTE_ADDR=address).status_code == HTTPStatus.OK


class TestWhatIsRemembered:
    def test_is_who_came_in_from_where_and_left(self, person: User) -> None:
        browser = Client()
        attempt(PASSWORD, client=browser)
        browser.post(reverse("admin:logout"))

        login = AccessLog.objects.get()

        assert (login.username, login.ip_address) == ("ada", HERE)
        assert login.logout_time is not None

    def test_is_nothing_that_was_typed_in_the_wrong_place(
        self, person: User, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        canary = "canary-7f3a"
        form = {"username": canary, "password": canary, canary: canary, "next": f"/{canary}"}
        for _ in range(2):
            Client().post(f"{LOGIN}?api_key={canary}", form, headers={"accept": canary})
        Client().post(f"{LOGIN}?api_key={canary}", {**form, "username": "ada", "password": PASSWORD})

        for model in (AccessAttempt, AccessLog):
            assert canary not in str(list(model.objects.values()))
        assert canary not in caplog.text.replace(f"api_key={canary}", "")

    def test_of_a_stranger_s_name_says_nothing_without_the_key(self, person: User, settings: Any) -> None:
        attempt("wrong", name="canary-7f3a")
        attempt("wrong", name="canary-7f3a")
        (before,) = AccessAttempt.objects.values_list("username", flat=True)

        settings.SECRET_KEY = secrets.token_urlsafe(48)
        attempt("wrong", name="canary-7f3a")

        assert before.startswith("nobody-")
        assert AccessAttempt.objects.exclude(username=before).count() == 1

    def test_is_shown_in_the_console(self, console: Client, person: User) -> None:
        attempt(PASSWORD)
        fail()

        logins = console.get(reverse("admin:axes_accesslog_changelist")).content.decode()
        failed = console.get(reverse("admin:axes_accessattempt_changelist"))

        assert "ada" in logins
        assert HERE in failed.content.decode()
        assert "icon-yes.svg" in failed.content.decode()
        for row in (AccessAttempt.objects.get(), AccessLog.objects.latest("pk")):
            page = reverse(f"admin:axes_{row._meta.model_name}_change", args=[row.pk])
            assert console.get(page).status_code == 200

    def test_is_deleted_where_somebody_is_to_try_again_at_once(self, console: Client, person: User) -> None:
        fail()

        delete = reverse("admin:axes_accessattempt_delete", args=[AccessAttempt.objects.get().pk])
        console.post(delete, {"post": "yes"})

        assert attempt(PASSWORD).status_code == HTTPStatus.FOUND

    def test_is_deleted_with_the_rest_of_the_history(self, person: User) -> None:
        attempt(PASSWORD)
        AccessLog.objects.update(attempt_time=timezone.now() - timedelta(days=31))
        Session.objects.update(expire_date=timezone.now() - timedelta(days=31))
        attempt(PASSWORD)
        before = timezone.now() - timedelta(days=30)

        foreseen = retention.prune(before=before, dry_run=True)
        pruned = retention.prune(before=before)

        assert (pruned.logins, pruned.sessions) == (foreseen.logins, foreseen.sessions) == (1, 1)
        assert (AccessLog.objects.count(), Session.objects.count()) == (1, 1)


class TestSession:
    @pytest.fixture
    def browser(self, person: User) -> Client:
        """Somebody who has logged in."""
        browser = Client()
        attempt(PASSWORD, client=browser)
        return browser

    def test_ends_without_a_click(self, browser: Client) -> None:
        left = Session.objects.get().expire_date - timezone.now()

        assert timedelta(minutes=59) < left <= timedelta(hours=1)
        Session.objects.update(expire_date=timezone.now())
        assert browser.get(CONSOLE).status_code == HTTPStatus.FOUND

    def test_lives_on_with_every_click(self, browser: Client) -> None:
        Session.objects.update(expire_date=timezone.now() + timedelta(seconds=60))

        assert browser.get(CONSOLE).status_code == HTTPStatus.OK
        assert Session.objects.get().expire_date - timezone.now() > timedelta(minutes=59)

    def test_is_put_off_by_no_page_that_refreshes_itself(self, browser: Client) -> None:
        soon = timezone.now() + timedelta(seconds=60)
        Session.objects.update(expire_date=soon)

        assert browser.get(CONSOLE, headers={"X-Refresh": "1"}).status_code == HTTPStatus.OK
        assert Session.objects.get().expire_date == soon

    def test_is_put_off_by_every_button(self, browser: Client) -> None:
        Session.objects.update(expire_date=timezone.now() + timedelta(seconds=60))

        browser.post(reverse("admin:password_change"), headers={"X-Refresh": "1"})

        assert Session.objects.get().expire_date - timezone.now() > timedelta(minutes=59)

    def test_ends_twelve_hours_after_the_login(
        self, browser: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        login = time.time()
        monkeypatch.setattr("webhooks_project.sessions.time.time", lambda: login + 12 * 3600 - 60)

        assert browser.get(CONSOLE).status_code == HTTPStatus.OK
        assert Session.objects.get().expire_date - timezone.now() <= timedelta(seconds=60)
        monkeypatch.setattr("webhooks_project.sessions.time.time", lambda: login + 12 * 3600 + 60)
        browser.get(CONSOLE)
        assert Session.objects.get().expire_date <= timezone.now()
        assert browser.get(CONSOLE).status_code == HTTPStatus.FOUND

    def test_ends_with_a_logout(self, browser: Client) -> None:
        stolen = Client()
        stolen.cookies[project.SESSION_COOKIE_NAME] = browser.cookies[project.SESSION_COOKIE_NAME].value
        assert stolen.get(CONSOLE).status_code == HTTPStatus.OK

        browser.post(reverse("admin:logout"))

        assert stolen.get(CONSOLE).status_code == HTTPStatus.FOUND

    def test_ends_with_a_change_of_the_password(self, browser: Client) -> None:
        other = Client()
        attempt(PASSWORD, client=other)
        new = {"new_password1": "another-horse-battery-15", "new_password2": "another-horse-battery-15"}

        changed = browser.post(reverse("admin:password_change"), {"old_password": PASSWORD, **new})

        assert changed.status_code == HTTPStatus.FOUND
        assert browser.get(CONSOLE).status_code == HTTPStatus.OK
        assert other.get(CONSOLE).status_code == HTTPStatus.FOUND

    def test_has_a_cookie_that_no_script_and_no_other_site_gets(self, person: User, settings: Any) -> None:
        settings.SESSION_COOKIE_SECURE = settings.CSRF_COOKIE_SECURE = True
        browser = Client()
        browser.get(LOGIN)
        attempt(PASSWORD, client=browser)

        for name in (project.SESSION_COOKIE_NAME, project.CSRF_COOKIE_NAME):
            cookie = browser.cookies[name]
            assert cookie["httponly"]
            assert cookie["secure"]
            assert cookie["samesite"] == "Lax"


class TestForeignForm:
    def test_is_refused_in_our_words(self, db: None) -> None:
        answer = Client(enforce_csrf_checks=True).post(LOGIN, {"username": "ada", "password": "x"})

        assert answer.status_code == HTTPStatus.FORBIDDEN
        assert "did not come from a page of this service" in answer.content.decode()
        assert "<style" not in answer.content.decode()
