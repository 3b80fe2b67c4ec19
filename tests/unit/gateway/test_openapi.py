"""The API's description says all that the contracts say, and its page cannot be broken by a text."""

import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any

import pytest

from framehouse.runtime.topology import is_client_facing, methods
from services.gateway.openapi import comments, describe, path_of
from services.gateway.page import render
from services.gateway.transcoding import compile_template

CLIENT_METHODS = [method for _, method in methods() if is_client_facing(method)]


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return describe(CLIENT_METHODS)


def references(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for inner in value.values():
            yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


def test_every_client_facing_method_is_there_and_no_other(document: dict[str, Any]) -> None:
    operations = [operation for verbs in document["paths"].values() for operation in verbs.values()]
    assert sorted(operation["operationId"] for operation in operations) == sorted(
        f"{method.containing_service.name}_{method.name}" for method in CLIENT_METHODS
    )
    assert document["openapi"] == "3.1.0"
    assert json.loads(json.dumps(document)) == document


def test_every_path_parameter_is_declared(document: dict[str, Any]) -> None:
    for path, verbs in document["paths"].items():
        for operation in verbs.values():
            declared = [p["name"] for p in operation.get("parameters", ()) if p["in"] == "path"]
            assert declared == re.findall(r"\{(\w+)\}", path)
            assert len(set(declared)) == len(declared)


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    names = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    found = set(references(document))
    assert found <= names
    assert "#/components/schemas/LabelSchema" in found  # reached through Dataset alone


def test_a_stream_of_requests_is_sent_as_one(document: dict[str, Any]) -> None:
    body = document["paths"]["/v1/uploads:send"]["post"]["requestBody"]
    assert body["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/SendUploadRequest"}
    assert body["description"].startswith("The only message of the stream")


def test_one_operation_by_hand(document: dict[str, Any]) -> None:
    operation = document["paths"]["/v1/users/{user}/datasets"]["get"]
    assert operation["summary"] == "Lists the datasets of a user, or with `users/-` all that the caller may see."
    assert operation["security"] == [{}, {"key": ["read"]}]
    assert [(p["name"], p["in"], p["schema"]) for p in operation["parameters"]] == [
        ("user", "path", {"type": "string"}),
        ("pageSize", "query", {"type": "integer", "format": "int32"}),
        ("pageToken", "query", {"type": "string"}),
        ("filter", "query", {"type": "string"}),
        ("orderBy", "query", {"type": "string"}),
        ("trash", "query", {"type": "boolean"}),
    ]
    assert operation["parameters"][1]["description"] == "At most 1000; 0 means 100."
    assert operation["responses"]["200"]["content"] == {
        "application/json": {"schema": {"$ref": "#/components/schemas/ListDatasetsResponse"}}
    }
    assert "requestBody" not in operation


def test_schemas_are_those_of_proto3_json(document: dict[str, Any]) -> None:
    dataset = document["components"]["schemas"]["Dataset"]["properties"]
    assert dataset["imageCount"] == {
        "type": "string",
        "format": "int64",
        "description": "Images, with or without annotations.",
    }
    assert dataset["createTime"] == {"type": "string", "format": "date-time"}
    assert dataset["splits"]["items"] == {"$ref": "#/components/schemas/SplitCount"}
    state = document["components"]["schemas"]["UploadState"]
    assert state["enum"] == ["UPLOAD_STATE_UNSPECIFIED", "UPLOAD_STATE_OPEN", "UPLOAD_STATE_COMPLETE"]
    assert "`UPLOAD_STATE_OPEN`: Parts may be sent." in state["description"]
    stream = document["paths"]["/v1/jobs/{job}:watch"]["get"]["responses"]["200"]["content"]
    assert list(stream) == ["application/x-ndjson"]


@pytest.mark.parametrize(
    ("template", "path"),
    [
        ("/v1/{name=users/*/datasets/*}:export", "/v1/users/{user}/datasets/{dataset}:export"),
        ("/v1/{book.name=**}", "/v1/{book.name}"),
        ("/v1/things/{id}", "/v1/things/{id}"),
    ],
)
def test_a_template_becomes_a_path(template: str, path: str) -> None:
    assert path_of(compile_template(template)) == path


def test_comments_are_found_by_full_name() -> None:
    texts = comments()
    assert texts["framehouse.v1.Dataset.image_count"] == "Images, with or without annotations."
    assert texts["framehouse.v1.UploadState.UPLOAD_STATE_OPEN"] == "Parts may be sent."
    missing = [method.full_name for method in CLIENT_METHODS if method.full_name not in texts]
    assert not missing


def test_the_page_shows_every_method_and_loads_nothing(document: dict[str, Any]) -> None:
    page = render(document)
    ids: set[str] = set()
    targets: list[str] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            assert tag not in ("script", "img", "link", "iframe")
            ids.update(value or "" for name, value in attrs if name == "id")
            targets.extend(value or "" for name, value in attrs if name in ("href", "src"))

    Reader().feed(page)
    assert {f"{method.containing_service.name}_{method.name}" for method in CLIENT_METHODS} <= ids
    assert {target.removeprefix("#") for target in targets} - ids == {"/openapi.json"}


def test_the_page_escapes_every_text(document: dict[str, Any]) -> None:
    evil = "<script>`x`</script>\"'&"
    text = json.dumps(document).replace("Lists the datasets", json.dumps(evil)[1:-1]).replace("pageToken", "<b>")
    page = render(json.loads(text))
    assert "<script" not in page
    assert "<b>" not in page.partition("<main>")[2]
    assert "&lt;script&gt;<code>x</code>" in page


def test_a_method_that_answers_with_a_file_says_so(document: dict[str, Any]) -> None:
    operation = document["paths"]["/v1/users/{user}/datasets/{dataset}/images/{image}:render"]["get"]
    content = operation["responses"]["200"]["content"]
    assert content == {"*/*": {"schema": {"type": "string", "format": "binary"}}}
    assert {"crop.x", "crop.width", "labels", "size"} <= {parameter["name"] for parameter in operation["parameters"]}
    assert "google.api.HttpBody" not in document["components"]["schemas"]
