from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.test import Client

from deliveries.api.native.pagination import Cursor
from deliveries.identifiers import new_id
from deliveries.models import Account, Agent, AuditEntry
from tests import builders

PATH = "/api/v1/agents"


def some_agents(account: Account, count: int, *, now: datetime) -> list[str]:
    """Return the ids of agents, three at each moment, the newest first."""
    made = [
        builders.an_agent(account, created_at=now + timedelta(seconds=number // 3)) for number in range(count)
    ]
    return [str(agent.pk) for agent in reversed(made)]


def page(api: Client, url: str) -> Any:
    """Return a page of agents."""
    response = api.get(url)
    assert response.status_code == 200, response.content
    return response.json()


class TestCreate:
    def test_makes_an_agent(self, api: Client, account: Account) -> None:
        response = api.post(PATH, {"name": "Reception"}, content_type="application/json")

        assert response.status_code == 201
        agent = Agent.objects.get()
        assert agent.account == account
        assert list(response.json().items()) == [
            ("id", str(agent.pk)),
            ("name", "Reception"),
            ("created_at", agent.created_at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")),
        ]
        assert response.headers["Location"] == f"{PATH}/{agent.pk}"
        assert page(api, f"{PATH}/{agent.pk}/") == response.json()

    def test_leaves_one_audit_row(self, api: Client, account: Account) -> None:
        api.post(PATH, {"name": "Reception"}, content_type="application/json")

        entry = AuditEntry.objects.get()
        assert (entry.action, entry.account) == ("agent.created", account)
        assert (entry.subject_id, entry.details) == (str(Agent.objects.get().pk), {})
        assert entry.by.startswith("API key ")

    def test_keeps_the_name_as_it_was_sent(self, api: Client) -> None:
        response = api.post(PATH, {"name": " Reception "}, content_type="application/json")

        assert response.json()["name"] == Agent.objects.get().name == " Reception "

    @pytest.mark.parametrize(
        ("body", "fields"),
        [
            ({}, ["name"]),
            ({"name": None}, ["name"]),
            ({"name": " "}, ["name"]),
            ({"name": 5}, ["name"]),
            ({"name": "n" * 256}, ["name"]),
            ({"name": "n", "account": "x"}, ["account"]),
        ],
    )
    def test_refuses_bad_fields(self, api: Client, body: dict[str, Any], fields: list[str]) -> None:
        response = api.post(f"{PATH}/", body, content_type="application/json")

        assert response.status_code == 422
        assert list(response.json()["errors"]) == fields
        assert not Agent.objects.exists()


class TestList:
    def test_shows_the_newest_first(self, api: Client, account: Account, now: datetime) -> None:
        newest_first = some_agents(account, 4, now=now)
        builders.an_agent()

        answer = page(api, PATH)

        assert list(answer) == ["results", "next", "previous"]
        assert [agent["id"] for agent in answer["results"]] == newest_first
        assert (answer["next"], answer["previous"]) == (None, None)

    def test_can_be_walked_to_its_end_and_back(self, api: Client, account: Account, now: datetime) -> None:
        newest_first = some_agents(account, 10, now=now)
        there, back, url = [], [], f"{PATH}?page_size=3"

        while url:
            answer = page(api, url)
            there.append([agent["id"] for agent in answer["results"]])
            last, url = url, answer["next"]
        url = last
        while url:
            answer = page(api, url)
            back.append([agent["id"] for agent in answer["results"]])
            url = answer["previous"]

        assert sum(there, []) == newest_first
        assert back == list(reversed(there))

    def test_links_the_pages_beside_it_in_a_header_too(
        self, api: Client, account: Account, now: datetime
    ) -> None:
        some_agents(account, 5, now=now)

        first = api.get(f"{PATH}?page_size=2")
        middle = api.get(first.json()["next"])
        last = api.get(middle.json()["next"])

        links = [response.json() for response in (first, middle, last)]
        assert first.headers["Link"] == f'<{links[0]["next"]}>; rel="next"'
        assert middle.headers["Link"] == (
            f'<{links[1]["next"]}>; rel="next", <{links[1]["previous"]}>; rel="prev"'
        )
        assert last.headers["Link"] == f'<{links[2]["previous"]}>; rel="prev"'
        assert "Link" not in api.get(PATH).headers

    def test_stays_where_it_is_while_agents_come_and_go(
        self, api: Client, account: Account, now: datetime
    ) -> None:
        newest_first = some_agents(account, 6, now=now)
        second = page(api, f"{PATH}?page_size=2")["next"]

        some_agents(account, 3, now=now + timedelta(hours=1))
        Agent.objects.filter(pk=newest_first[1]).delete()

        assert [agent["id"] for agent in page(api, second)["results"]] == newest_first[2:4]

    def test_costs_the_same_for_one_as_for_a_hundred(
        self, api: Client, account: Account, now: datetime, django_assert_num_queries: Any
    ) -> None:
        some_agents(account, 1, now=now)
        page(api, PATH)  # notes the use of the key

        with django_assert_num_queries(2):
            page(api, PATH)
        some_agents(account, 100, now=now)
        with django_assert_num_queries(2):
            assert len(page(api, PATH)["results"]) == 100

    def test_takes_the_last_of_a_repeated_parameter(
        self, api: Client, account: Account, now: datetime
    ) -> None:
        some_agents(account, 3, now=now)

        assert len(page(api, f"{PATH}?page_size=x&page_size=2")["results"]) == 2

    @pytest.mark.parametrize("place", ["0001-01-01T00:00:00+00:00", "9999-12-31T23:59:59+00:00"])
    def test_is_empty_beyond_its_ends(self, api: Client, account: Account, now: datetime, place: str) -> None:
        some_agents(account, 2, now=now)
        backwards = place.startswith("9")
        cursor = Cursor(backwards, datetime.fromisoformat(place), new_id()).encode(PATH)

        answer = page(api, f"{PATH}?cursor={cursor}")

        assert answer == {"results": [], "next": None, "previous": None}

    @pytest.mark.parametrize(
        ("query", "fields"),
        [
            ("page_size=0", ["page_size"]),
            ("page_size=101", ["page_size"]),
            ("page_size=", ["page_size"]),
            ("page_size=x&cursor=x", ["cursor", "page_size"]),
            ("cursor=", ["cursor"]),
            ("cursor=%00", ["cursor"]),
            ("cursor=%C3%A9", ["cursor"]),
            ("cursor=b2xkZXI", ["cursor"]),
            ("cursor=b2xkZXIgMjAyNiBY", ["cursor"]),
        ],
    )
    def test_refuses_bad_values(self, api: Client, query: str, fields: list[str]) -> None:
        response = api.get(f"{PATH}?{query}")

        assert response.status_code == 422
        assert list(response.json()["errors"]) == fields

    def test_takes_its_cursors_to_the_letter(self, api: Client, account: Account, now: datetime) -> None:
        some_agents(account, 3, now=now)
        link = page(api, f"{PATH}?page_size=1")["next"]
        cursor = parse_qs(urlsplit(link).query)["cursor"][0]
        others = [cursor[:-1], cursor + "=", cursor + "A", " " + cursor, "n" + cursor[1:], cursor.upper()]
        # The last letter of a signature has two bits nobody needs.
        others += [cursor[:-1] + chr(ord(cursor[-1]) + step) for step in (-1, 1, 2, 3)]

        assert api.get(PATH, {"cursor": cursor}).status_code == 200
        for other in others:
            assert api.get(PATH, {"cursor": other}).status_code == 422, other

    def test_takes_no_cursor_of_another_list(self, api: Client, account: Account, now: datetime) -> None:
        place = Cursor(backwards=False, created_at=now, id=new_id())

        assert api.get(PATH, {"cursor": place.encode(PATH)}).status_code == 200
        assert api.get(f"{PATH}/", {"cursor": place.encode(PATH)}).status_code == 200
        for path in ("/api/v1/events", "/api/v1/deliveries", ""):
            assert api.get(PATH, {"cursor": place.encode(path)}).status_code == 422

    def test_names_the_parameter_that_was_meant(self, api: Client) -> None:
        response = api.get(f"{PATH}?page_sise=5&limit=5")

        assert response.status_code == 422
        assert response.json()["errors"] == {
            "page_sise": ['Unknown parameter. Did you mean "page_size"?'],
            "limit": ["Unknown parameter. Known are: cursor, page_size."],
        }

    def test_says_that_there_are_no_parameters(self, api: Client) -> None:
        response = api.get(f"{PATH}/{new_id()}?limit=5")

        assert response.status_code == 422
        assert response.json()["errors"] == {"limit": ["Unknown parameter. This path takes no parameters."]}
