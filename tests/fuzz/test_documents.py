"""Requests made from the documents, good and bad, and whether the answers are the documented ones."""

import copy
from functools import cache
from typing import Any

import pytest
import schemathesis
from django.core.handlers.wsgi import WSGIHandler
from hypothesis import given
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.api.test_schema import DOCUMENTS, Documented, operations
from tests.fuzz.conftest import Fuzz, Tenant, undone

pytestmark = [pytest.mark.slow, pytest.mark.django_db]

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
# Sent with every answer, whatever it is.
OF_THE_SERVER = {
    "allow",
    "content-length",
    "content-security-policy",
    "content-type",
    "cross-origin-opener-policy",
    "referrer-policy",
    "vary",
    "x-content-type-options",
    "x-frame-options",
}
OPERATIONS = list(operations())
# Of all the cases; the rest is garbage.
SHARE = 0.7


@pytest.mark.parametrize("operation", OPERATIONS, ids=str)
def test_answers_as_documented(
    fuzz: Fuzz, application: WSGIHandler, tenant: Tenant, operation: Documented
) -> None:
    schema = schema_of(operation.contract)
    schema.app = application
    found = schema[operation.path][operation.method]

    @given(
        case=st.one_of(
            found.as_strategy(generation_mode=GenerationMode.POSITIVE),
            found.as_strategy(generation_mode=GenerationMode.NEGATIVE),
        ),
        ids=st.fixed_dictionaries({name: st.sampled_from([*some, ""]) for name, some in tenant.ids.items()}),
    )
    def answers(case: Any, ids: dict[str, str]) -> None:
        # Left to chance, no id would ever lead to anything.
        for name in set(case.path_parameters or ()):
            case.path_parameters[name] = ids[name] or case.path_parameters[name]
        with undone():
            answer = case.call_and_validate(headers={"Authorization": f"Bearer {tenant.key}"}, checks=CHECKS)
        documented = {name.lower() for name in operation.responses[answer.status_code]["headers"]}
        assert set(answer.headers) - OF_THE_SERVER <= documented

    fuzz(answers, SHARE / len(OPERATIONS))


@cache
def schema_of(contract: str) -> Any:
    """Return a document that speaks of no keys: else most cases bring a wrong one, and get no further."""
    document = copy.deepcopy(DOCUMENTS[contract])
    del document["components"]["securitySchemes"]
    for methods in document["paths"].values():
        for declared in methods.values():
            del declared["security"]
    return schemathesis.openapi.from_dict(document)
