"""The published documents: whole, valid, committed as they are generated, and true about what is answered."""

import io
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from django.core.management import CommandError, call_command
from django.urls import URLPattern, URLResolver, get_resolver
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from rest_framework.serializers import Serializer

from deliveries.api.failures import schema as failures
from deliveries.api.failures.serializers import FailureSerializer
from deliveries.api.failures.serializers import WebhookSerializer as FailuresWebhookSerializer
from deliveries.api.logs import schema as logs
from deliveries.api.logs.serializers import (
    LogSerializer,
    RotationSerializer,
    WebhookFieldsSerializer,
    WebhookSerializer,
)
from deliveries.api.native import schema as native
from deliveries.api.native.serializers.agents import AgentDraftSerializer, AgentSerializer
from deliveries.api.native.serializers.attempts import AttemptSerializer, AttemptSummarySerializer
from deliveries.api.native.serializers.catalogue import EventTypeSerializer
from deliveries.api.native.serializers.deliveries import DeliverySerializer, EventDeliverySerializer
from deliveries.api.native.serializers.events import (
    BatchedEventDraftSerializer,
    BatchedPublicationSerializer,
    EventBatchSerializer,
    EventDraftSerializer,
    EventSummarySerializer,
    PublicationSerializer,
)
from deliveries.api.native.serializers.pauses import PauseDraftSerializer, PauseSerializer
from deliveries.api.native.serializers.recoveries import (
    PreviewSerializer,
    RecoveryDraftSerializer,
    RecoverySerializer,
)
from deliveries.api.native.serializers.whoami import WhoamiSerializer
from deliveries.api.native.views.base import NativeViewSet
from deliveries.api.views import ContractView, UnknownPathView
from tests.api.test_seed_documents import page

FOLDER = Path(__file__).resolve().parent.parent.parent / "docs" / "openapi"
GENERATORS = {"failures": failures.Generator, "logs": logs.Generator, "native": native.Generator}
DOCUMENTS: dict[str, Any] = {
    name: yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8")) for name in GENERATORS
}
METHODS = {"get", "post", "put", "patch", "delete"}

contracts = pytest.mark.parametrize("contract", GENERATORS)


class Documented(NamedTuple):
    """An operation in a document, with what its references lead to."""

    contract: str
    method: str
    path: str
    declared: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.method.upper()} {self.path}"

    @property
    def parameters(self) -> list[Any]:
        """What it takes beside a body."""
        return [followed(self.contract, each) for each in self.declared["parameters"]]

    @property
    def responses(self) -> dict[int, Any]:
        """What it answers, by status."""
        answers = self.declared["responses"].items()
        return {int(status): followed(self.contract, answer) for status, answer in answers}


def followed(contract: str, node: Any) -> Any:
    """Return what a reference leads to, and anything else as it is."""
    if "$ref" not in node:
        return node
    found = DOCUMENTS[contract]
    for step in node["$ref"].removeprefix("#/").split("/"):
        found = found[step]
    return found


def operations() -> Iterator[Documented]:
    """Give every operation of every document."""
    for contract, document in DOCUMENTS.items():
        for where, methods in document["paths"].items():
            for method, declared in methods.items():
                yield Documented(contract, method, where, declared)


every_operation = pytest.mark.parametrize("operation", list(operations()), ids=str)


def objects(node: Any) -> Iterator[dict[str, Any]]:
    """Give every JSON object inside of a value, itself included."""
    if isinstance(node, dict):
        yield node
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from objects(child)


def routed() -> set[tuple[type[ContractView], str]]:
    """Return the views and actions that a path of the APIs leads to, unknown paths left out."""
    found = set()
    open_ones: list[Any] = list(get_resolver().url_patterns)
    while open_ones:
        pattern = open_ones.pop()
        if isinstance(pattern, URLResolver):
            open_ones += pattern.url_patterns
            continue
        assert isinstance(pattern, URLPattern)
        view = getattr(pattern.callback, "cls", None)
        if view is None or issubclass(view, UnknownPathView):
            continue
        actions = getattr(pattern.callback, "actions", None) or {method: method for method in METHODS}
        found |= {(view, action) for action in actions.values()}
    return found


def generate(contract: str, **options: Any) -> str:
    """Return what `make schema` would write."""
    output = io.StringIO()
    call_command(
        "spectacular",
        generator_class=f"deliveries.api.{contract}.schema.Generator",
        validate=True,
        fail_on_warn=True,
        stdout=output,
        **options,
    )
    return output.getvalue().rstrip("\n")


class TestDocuments:
    @contracts
    def test_are_committed_as_they_are_generated(self, contract: str) -> None:
        committed = (FOLDER / f"{contract}.yaml").read_text(encoding="utf-8").rstrip("\n")

        assert generate(contract) == committed, (
            "The documents have changed: run `make schema` and look at them."
        )

    @contracts
    def test_are_valid(self, contract: str) -> None:
        OpenAPIV31SpecValidator(DOCUMENTS[contract]).validate()

    @contracts
    def test_name_their_version_server_and_key(self, contract: str) -> None:
        document = DOCUMENTS[contract]

        assert document["openapi"].startswith("3.1.")
        assert document["servers"][0]["url"] == "/"
        assert document["components"]["securitySchemes"]["Bearer"]["scheme"] == "bearer"
        assert document["info"]["title"]
        assert document["info"]["description"]

    def test_have_every_operation_a_path_leads_to_and_no_other(self) -> None:
        declared = [key for each in GENERATORS.values() for key in each.contract.operations]

        assert len(declared) == len(set(declared))
        assert set(declared) == routed()
        assert len(list(operations())) == len(declared)

    def test_cannot_be_generated_when_an_operation_is_declared_nowhere(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        forgotten = dict(native.Generator.contract.operations)
        forgotten.popitem()
        contract = replace(native.Generator.contract, operations=forgotten)
        monkeypatch.setattr(native.Generator, "contract", contract)

        with pytest.raises(CommandError, match="warnings"):
            generate("native")

    @contracts
    def test_write_paths_without_a_slash_at_the_end_or_a_rest_of_their_pattern(self, contract: str) -> None:
        plain = [each.replace("{", "").replace("}", "") for each in DOCUMENTS[contract]["paths"]]

        assert all(each.startswith("/api/v") and not each.endswith("/") for each in plain)
        assert all(character not in each for each in plain for character in "^$?()|\\")

    @contracts
    def test_say_of_every_object_whether_it_may_have_more(self, contract: str) -> None:
        schemas = DOCUMENTS[contract]["components"]["schemas"]

        vague = [
            node for node in objects(schemas) if "object" in node.get("type", ()) and "properties" in node
        ]
        assert vague
        assert all("additionalProperties" in node for node in vague)
        assert not [node for node in objects(DOCUMENTS[contract]) if "nullable" in node]

    @contracts
    def test_give_no_defaults_in_bodies(self, contract: str) -> None:
        """Generators make such a field one that must be given."""
        schemas = DOCUMENTS[contract]["components"]["schemas"]

        assert [node for node in objects(schemas) if "default" in node] == []

    @contracts
    def test_give_examples_that_fit_their_schemas(self, contract: str) -> None:
        document = DOCUMENTS[contract]
        contents = [
            node
            for node in objects(document)
            if "schema" in node and ("example" in node or "examples" in node)
        ]

        assert contents
        for node in contents:
            whole = {"components": document["components"], **node["schema"]}
            named = node.get("examples", {})
            for example in (
                [node["example"]] if "example" in node else [each["value"] for each in named.values()]
            ):
                Draft202012Validator(whole, format_checker=Draft202012Validator.FORMAT_CHECKER).validate(
                    example
                )


class TestOperations:
    @every_operation
    def test_have_what_a_reader_and_a_generator_of_clients_need(self, operation: Documented) -> None:
        declared = operation.declared
        known = {tag["name"] for tag in DOCUMENTS[operation.contract]["tags"]}

        assert declared["operationId"].isidentifier()
        assert declared["summary"]
        assert "Scope: `" in declared["description"]
        assert declared["security"] == [{"Bearer": []}]
        assert set(declared["tags"]) <= known
        assert any(200 <= status < 300 for status in operation.responses)
        assert "X-Request-Id" in {parameter["name"] for parameter in operation.parameters}

    def test_have_ids_of_their_own(self) -> None:
        ids = [operation.declared["operationId"] for operation in operations()]

        assert len(ids) == len(set(ids))

    @every_operation
    def test_document_every_status_they_may_answer_with(self, operation: Documented) -> None:
        always = {400, 401, 403, 406, 429, 500, 503}
        below = {404} if "{" in operation.path else set()
        with_body = {411, 413, 415, 422} if "requestBody" in operation.declared else set()
        queried = {422} if [each for each in operation.parameters if each["in"] == "query"] else set()
        strict = {422} if operation.contract == "native" else set()

        assert always | below | with_body | queried | strict <= set(operation.responses)

    @every_operation
    def test_give_every_answer_its_headers_and_body(self, operation: Documented) -> None:
        for status, answer in operation.responses.items():
            headers = set(answer["headers"])
            assert {"Cache-Control", "X-Request-Id"} <= headers
            counted = status not in (401, 403)
            assert ("X-RateLimit-Limit" in headers, "X-RateLimit-Remaining" in headers) == (counted, counted)
            assert ("RateLimit" in headers) == (counted and operation.contract == "native")
            assert ("Retry-After" in headers) == (status in (429, 503))
            assert ("WWW-Authenticate" in headers) == (status == 401)
            problem = operation.contract == "native" and status >= 400
            (media_type,) = answer.get("content", {"application/json": None})
            assert media_type == ("application/problem+json" if problem else "application/json")
            assert (
                status < 400
                or answer["content"][media_type].get("example")
                or answer["content"][media_type]["examples"]
            )

    @every_operation
    def test_name_the_parameters_of_their_paths(self, operation: Documented) -> None:
        named = {each["name"] for each in operation.parameters if each["in"] == "path"}

        assert named == {word.partition("}")[0] for word in operation.path.split("{")[1:]}


class TestTruth:
    """What the documents say, and what the code does."""

    @pytest.mark.parametrize(
        ("contract", "name", "serializer"),
        [
            ("failures", "WebhookFailure", FailureSerializer),
            ("failures", "Webhook", FailuresWebhookSerializer),
            ("logs", "Webhook", WebhookSerializer),
            ("logs", "NewWebhook", WebhookFieldsSerializer),
            ("logs", "WebhookChanges", WebhookFieldsSerializer),
            ("logs", "Rotation", RotationSerializer),
            ("logs", "Log", LogSerializer),
            ("native", "EventDraft", EventDraftSerializer),
            ("native", "Publication", PublicationSerializer),
            ("native", "BatchedEventDraft", BatchedEventDraftSerializer),
            ("native", "EventBatch", EventBatchSerializer),
            ("native", "BatchedPublication", BatchedPublicationSerializer),
            ("native", "Event", EventSummarySerializer),
            ("native", "EventDelivery", EventDeliverySerializer),
            ("native", "Delivery", DeliverySerializer),
            ("native", "AttemptSummary", AttemptSummarySerializer),
            ("native", "Attempt", AttemptSerializer),
            ("native", "EventType", EventTypeSerializer),
            ("native", "Whoami", WhoamiSerializer),
            ("native", "AgentDraft", AgentDraftSerializer),
            ("native", "Agent", AgentSerializer),
            ("native", "RecoveryDraft", RecoveryDraftSerializer),
            ("native", "RecoveryPreview", PreviewSerializer),
            ("native", "Recovery", RecoverySerializer),
            ("native", "PauseDraft", PauseDraftSerializer),
            ("native", "Pause", PauseSerializer),
        ],
        ids=lambda value: value if isinstance(value, str) else value.__name__,
    )
    def test_shapes_have_the_fields_of_the_serializers_in_their_order(
        self, contract: str, name: str, serializer: type[Serializer[Any]]
    ) -> None:
        declared = DOCUMENTS[contract]["components"]["schemas"][name]

        assert list(declared["properties"]) == list(serializer().fields)

    @pytest.mark.parametrize(
        ("contract", "name", "serializer"),
        [
            ("logs", "NewWebhook", WebhookFieldsSerializer),
            ("native", "EventDraft", EventDraftSerializer),
            ("native", "BatchedEventDraft", BatchedEventDraftSerializer),
            ("native", "AgentDraft", AgentDraftSerializer),
            ("native", "RecoveryDraft", RecoveryDraftSerializer),
            ("native", "PauseDraft", PauseDraftSerializer),
        ],
        ids=lambda value: value if isinstance(value, str) else value.__name__,
    )
    def test_what_is_required_and_what_may_be_null_is_so(
        self, contract: str, name: str, serializer: type[Serializer[Any]]
    ) -> None:
        declared = DOCUMENTS[contract]["components"]["schemas"][name]
        fields = serializer().fields.items()

        assert declared.get("required", []) == [name for name, field in fields if field.required]
        assert [
            name for name, schema in declared["properties"].items() if "null" in schema.get("type", ())
        ] == [name for name, field in fields if field.allow_null]

    def test_parameters_of_the_native_api_are_those_its_views_know(self) -> None:
        contract = native.Generator.contract
        for (view, action), declared in contract.operations.items():
            assert issubclass(view, NativeViewSet)
            components = [contract.parameters[name] for name in declared.parameters]
            queried = {each["name"] for each in components if each["in"] == "query"}
            assert queried == set(view.parameters.get(action, ()))

    def test_examples_are_what_the_pages_of_the_failures_api_print(self) -> None:
        listed, retriggered = (
            page(name).answers[0] for name in ("list_webhook_failures", "retrigger_webhook_failure")
        )
        examples = {
            operation.declared["operationId"]: operation.responses[200]["content"]["application/json"][
                "example"
            ]
            for operation in operations()
            if operation.contract == "failures" and 200 in operation.responses
        }

        assert json.dumps(examples["listWebhookFailures"]) == json.dumps(listed)
        assert json.dumps(examples["retriggerWebhookFailure"]) == json.dumps(retriggered)
