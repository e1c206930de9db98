"""The OpenAPI description against the server: what schemathesis makes up is answered, and as described."""

from __future__ import annotations

from collections import Counter

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from medalist.expansion.expander import Expander
from medalist.serving.app import create_app
from medalist.serving.gate import Rules
from notes_server import INVENTORY

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
EXPAND, INVENTORY_PATH = "POST /v1/expand", "GET /v1/inventory/{short_form}"


@pytest.mark.parametrize(
    ("label", "mode", "expected"),
    [
        (EXPAND, GenerationMode.POSITIVE, {200}),
        (EXPAND, GenerationMode.NEGATIVE, {400, 422}),
        (INVENTORY_PATH, GenerationMode.POSITIVE, {404}),
        ("GET /healthz", GenerationMode.POSITIVE, {200}),
        ("GET /readyz", GenerationMode.POSITIVE, {200}),
        ("GET /metrics", GenerationMode.POSITIVE, {200}),
    ],
)
def test_whatever_the_description_allows_or_forbids_is_answered_as_described(loaded, label, mode, expected):
    app = create_app(Expander(loaded, INVENTORY), rules=Rules())
    schema = schemathesis.openapi.from_asgi("/openapi.json", app)
    [operation] = [one for one in (found.ok() for found in schema.get_all_operations()) if one.label == label]
    statuses = Counter()

    @settings(
        max_examples=60,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def ask(case):
        statuses[case.call_and_validate(checks=CHECKS).status_code] += 1

    ask()
    assert expected <= statuses.keys()
