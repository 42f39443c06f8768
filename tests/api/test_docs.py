"""The page of the documents, and the documents, as anybody gets them. A browser reads the page elsewhere."""

import re

import pytest
import yaml
from django.contrib.staticfiles import finders
from django.test import Client

from deliveries.api.docs import CONTRACTS

contracts = pytest.mark.parametrize("contract", CONTRACTS)


class TestPage:
    def test_offers_every_document_without_a_key(self, client: Client) -> None:
        page = client.get("/docs/").content.decode()

        for contract in CONTRACTS:
            assert f'href="#{contract}" data-document="/schema/{contract}.yaml"' in page

    def test_is_found_without_the_slash(self, client: Client) -> None:
        response = client.get("/docs")

        assert (response.status_code, response.headers["Location"]) == (302, "/docs/")

    def test_has_a_policy_that_lets_nothing_in_from_elsewhere(self, client: Client) -> None:
        policy = client.get("/docs/").headers["Content-Security-Policy"]

        assert "default-src 'none'" in policy
        assert "script-src 'self';" in policy
        assert "http" not in policy
        assert "unsafe-eval" not in policy

    def test_has_no_script_of_its_own_and_all_its_files_here(self, client: Client) -> None:
        page = client.get("/docs/").content.decode()

        files = re.findall(r'(?:src|href)="/static/([^"]+)"', page)
        assert len(files) == 4
        assert all(finders.find(file) for file in files)
        assert re.findall(r"<script(?![^>]* src=)", page) == []
        assert re.findall(r"\son\w+=|https?://|//[a-z]", page) == []

    def test_takes_nothing(self, client: Client) -> None:
        assert client.post("/docs/").status_code == 405


class TestDocument:
    @contracts
    def test_is_there_without_a_key(self, client: Client, contract: str) -> None:
        response = client.get(f"/schema/{contract}.yaml")

        assert response.status_code == 200
        assert response.headers["Content-Type"] == "application/yaml"
        assert contract in yaml.safe_load(response.content)["info"]["title"].lower()

    def test_need_not_be_sent_again(self, client: Client) -> None:
        first = client.get("/schema/logs.yaml")
        again = client.get("/schema/logs.yaml", headers={"If-None-Match": first.headers["ETag"]})

        assert "max-age" in first.headers["Cache-Control"]
        assert (again.status_code, again.content) == (304, b"")

    @pytest.mark.parametrize("name", ["other", "..", "failures.yaml", "../../manage"])
    def test_is_one_of_three(self, client: Client, name: str) -> None:
        assert client.get(f"/schema/{name}.yaml").status_code == 404
