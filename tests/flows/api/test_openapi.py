"""The OpenAPI description: every property and parameter described, an example for every body."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest

from bursar.api import app, openapi, problem_details
from tests.contracts.test_docs import every_error

Json = dict[str, Any]


@pytest.fixture(scope="module")
def description() -> Json:
    return openapi.describe(app.create_app(admin=False))


def operations(description: Json) -> Iterator[tuple[str, Json]]:
    for path, methods in description["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def is_valid(example: Any, schema: Json, description: Json) -> bool:
    """Whether *example* matches *schema*, whose references are into the description."""
    document = {**schema, "components": description["components"]}
    return jsonschema_rs.validator_for(document).is_valid(example)


def test_every_property_is_described(description: Json) -> None:
    properties = [
        (f"{name}.{field}", schema.get("description", ""))
        for name, component in description["components"]["schemas"].items()
        for field, schema in component.get("properties", {}).items()
    ]
    assert len(properties) > 200
    assert [name for name, text in properties if not text.strip()] == []


def test_every_component_and_operation_and_parameter_is_described(description: Json) -> None:
    components = description["components"]["schemas"]
    assert [name for name, each in components.items() if not each.get("description")] == []
    texts = []
    for name, operation in operations(description):
        texts += [(name, operation.get("summary")), (name, operation.get("description"))]
        texts += [
            (f"{name} {each['name']}", each.get("description"))
            for each in operation.get("parameters", ())
        ]
    assert len(texts) > 100
    assert [name for name, text in texts if not text] == []


def test_every_operation_has_a_tag_that_is_described_and_an_id_of_its_own(
    description: Json,
) -> None:
    tags = {tag["name"] for tag in description["tags"]}
    used = {tag for _, operation in operations(description) for tag in operation["tags"]}
    ids = [operation["operationId"] for _, operation in operations(description)]
    assert used == tags
    assert len(set(ids)) == len(ids)


def test_every_request_and_success_has_an_example_that_is_valid(description: Json) -> None:
    invalid, count = [], 0
    for name, operation in operations(description):
        contents = [operation["requestBody"]["content"]] if "requestBody" in operation else []
        contents += [
            response["content"]
            for status, response in operation["responses"].items()
            if status.startswith("2")
        ]
        for media in (media for content in contents for media in content.values()):
            count += 1
            if not is_valid(media["example"], media["schema"], description):
                invalid.append(name)
    assert count > 30
    assert invalid == []


def test_every_error_response_has_an_example_of_each_of_its_codes(description: Json) -> None:
    statuses = {error.code: error.status for error in every_error()}
    count = 0
    for name, operation in operations(description):
        for status, response in operation["responses"].items():
            if not status.startswith(("4", "5")):
                continue
            media = response["content"][problem_details.MEDIA_TYPE]
            codes = re.findall(r"[a-z_]+", response["description"])
            assert list(media["examples"]) == codes, name
            for code, example in media["examples"].items():
                count += 1
                value = example["value"]
                assert (value["code"], value["status"]) == (code, int(status))
                assert statuses[code] == int(status)
                assert value["type"] == f"urn:bursar:problem:{code}"
                assert is_valid(value, media["schema"], description)
    assert count > 150


def test_the_examples_of_an_order_add_up(description: Json) -> None:
    order = description["paths"]["/v1/orders"]["post"]["responses"]["201"]["content"]
    example = order["application/json"]["example"]
    gross = sum(line["gross"]["amount"] for line in example["lines"])
    assert (example["total"]["amount"], gross) == (1000, 1000)


@pytest.mark.parametrize(
    ("schema", "example"),
    [
        ({"type": "string", "examples": ["x"]}, "x"),
        ({"enum": ["a", "b"]}, "a"),
        ({"const": "list"}, "list"),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, 1),
        ({"type": "string", "format": "date-time"}, "2026-12-01T14:05:00Z"),
        ({"$ref": "#/components/schemas/Money"}, {"amount": 1}),
        ({"type": "array", "items": {"$ref": "#/components/schemas/Money"}}, [{"amount": 1}]),
    ],
)
def test_an_example_follows_the_schema(schema: Json, example: object) -> None:
    money = {
        "type": "object",
        "properties": {"amount": {"type": "integer"}, "note": {"type": "string"}},
        "required": ["amount"],
    }
    assert openapi.example_of(schema, {"Money": money}) == example
