"""HTTP paths, query strings and JSON become the messages that the contracts name, or an error that names the field."""

import json

import pytest
from google.api import annotations_pb2
from google.longrunning import operations_pb2
from google.protobuf import any_pb2, descriptor_pb2, descriptor_pool, field_mask_pb2
from google.rpc import status_pb2
from hypothesis import given
from hypothesis import strategies as st

from framehouse.runtime.errors import InvalidArgument, NotFound
from framehouse.runtime.topology import services
from framehouse.v1 import conversion_pb2, dataset_pb2, ingest_pb2, job_pb2
from services.gateway.transcoding import Rule, compile_template, error_body, read_request, rules, write_json


def rule_of(service: str, method: str) -> Rule:
    (rule,) = rules([services()[f"framehouse.v1.{service}"].methods_by_name[method]])
    return rule


@pytest.fixture(scope="module")
def library() -> dict[str, list[Rule]]:
    """Rules of a contract that uses what ours do not: bodies that are one field, and more than one binding."""
    file = descriptor_pb2.FileDescriptorProto(name="library.proto", package="library", syntax="proto3")
    file.dependency.extend([annotations_pb2.DESCRIPTOR.name, field_mask_pb2.DESCRIPTOR.name])
    book = file.message_type.add(name="Book")
    book.field.add(name="name", number=1, type=9, label=1)
    book.field.add(name="in_print", number=2, type=8, label=1)
    request = file.message_type.add(name="UpdateBookRequest")
    request.field.add(name="book", number=1, type=11, type_name=".library.Book", label=1)
    request.field.add(name="update_mask", number=2, type=11, type_name=".google.protobuf.FieldMask", label=1)
    request.field.add(name="tags", number=3, type=9, label=3)
    service = file.service.add(name="Library")
    update = service.method.add(name="UpdateBook", input_type=".library.UpdateBookRequest", output_type=".library.Book")
    http = update.options.Extensions[annotations_pb2.http]
    http.patch, http.body = "/v1/{book.name=shelves/*/books/*}", "book"
    http.additional_bindings.add(get="/v1/touch/{book.name=**}")
    pool = descriptor_pool.Default()
    pool.Add(file)
    found = list(rules(pool.FindServiceByName("library.Library").methods))
    return {"patch": [rule for rule in found if rule.verb == "PATCH"], "get": [r for r in found if r.verb == "GET"]}


@pytest.mark.parametrize(
    ("template", "path", "expected"),
    [
        ("/v1/{name=users/*/datasets/*}", "/v1/users/me/datasets/cars", {"name": "users/me/datasets/cars"}),
        ("/v1/{name=users/*/datasets/*}", "/v1/users/me/datasets", None),
        ("/v1/{name=users/*/datasets/*}", "/v1/users/me/datasets/cars/", None),
        ("/v1/{name=users/*/datasets/*}", "/v1/users//datasets/cars", None),
        ("/v1/{name=users/*/datasets/*}", "/v1/users/me/datasets/cars:export", None),
        ("/v1/{dataset=users/*/datasets/*}:export", "/v1/users/a/datasets/b:export", {"dataset": "users/a/datasets/b"}),
        ("/v1/{parent=users/*}/datasets:import", "/v1/users/me/datasets:import", {"parent": "users/me"}),
        ("/v1/formats", "/v1/formats", {}),
        ("/v1/formats", "/v1/formatsx", None),
        ("/v1/a.c", "/v1/abc", None),
        ("/v1/{id}/x", "/v1/a%2Fb%20c/x", {"id": "a/b c"}),
        ("/v1/{name=jobs/*}", "/v1/jobs/a%2Fb%3Ac%20d", {"name": "jobs/a%2Fb:c d"}),
        ("/v1/{name=files/**}", "/v1/files/a/b/c", {"name": "files/a/b/c"}),
        ("/v1/{a=x/*}/{b=y/*}", "/v1/x/1/y/2", {"a": "x/1", "b": "y/2"}),
    ],
)
def test_a_path_template_matches(template: str, path: str, expected: dict[str, str] | None) -> None:
    assert compile_template(template).match(path) == expected


def test_a_path_that_is_not_utf8_is_the_callers_mistake() -> None:
    with pytest.raises(InvalidArgument, match="not UTF-8"):
        compile_template("/v1/{id}").match("/v1/%ff")


def test_rules_with_a_verb_come_first() -> None:
    found = list(rules(services()["framehouse.v1.JobService"].methods))
    assert [bool(rule.template.verb) for rule in found] == [True, True, True, False, False]


def test_path_and_query_become_the_request() -> None:
    rule = rule_of("DatasetService", "ListDatasets")
    request = read_request(rule, {"parent": "users/me"}, [("pageSize", "5"), ("page_token", "a b")], b"")
    assert request == dataset_pb2.ListDatasetsRequest(parent="users/me", page_size=5, page_token="a b")


def test_a_body_becomes_the_request_and_the_path_wins() -> None:
    rule = rule_of("ConversionService", "ConvertArchive")
    body = {
        "upload": "uploads/other",
        "read": {"minSide": 0, "on_error": "ERROR_POLICY_FAIL"},
        "write": {"withoutImages": True},
    }
    request = read_request(rule, {"upload": "uploads/1"}, [], json.dumps(body).encode())
    assert request == conversion_pb2.ConvertArchiveRequest(
        upload="uploads/1",
        read=conversion_pb2.ReadOptions(min_side=0, on_error=conversion_pb2.ERROR_POLICY_FAIL),
        write=conversion_pb2.WriteOptions(without_images=True),
    )


def test_no_body_is_an_empty_one() -> None:
    rule = rule_of("JobService", "CancelJob")
    assert read_request(rule, {"name": "jobs/1"}, [], b"") == job_pb2.CancelJobRequest(name="jobs/1")


def test_the_body_can_be_one_field_and_the_rest_is_in_the_query(library: dict[str, list[Rule]]) -> None:
    (rule,) = library["patch"]
    query = [("updateMask", "inPrint"), ("tags", "a"), ("tags", "b")]
    request = read_request(rule, {"book.name": "shelves/1/books/2"}, query, b'{"inPrint": true}')
    assert request.book.name == "shelves/1/books/2"  # type: ignore[attr-defined]
    assert request.book.in_print  # type: ignore[attr-defined]
    assert list(request.update_mask.paths) == ["in_print"]  # type: ignore[attr-defined]
    assert list(request.tags) == ["a", "b"]  # type: ignore[attr-defined]
    with pytest.raises(InvalidArgument, match="in the body"):
        read_request(rule, {}, [("book.in_print", "true")], b"")


def test_additional_bindings_and_nested_query_fields(library: dict[str, list[Rule]]) -> None:
    (rule,) = library["get"]
    variables = rule.template.match("/v1/touch/shelves/1/books/2")
    request = read_request(rule, variables or {}, [("book.inPrint", "true")], b"")
    assert (request.book.name, request.book.in_print) == ("shelves/1/books/2", True)  # type: ignore[attr-defined]
    for query in ("book", "book.inPrint.x", "book.name"):
        with pytest.raises(InvalidArgument):
            read_request(rule, {}, [(query, "true")], b"")
    with pytest.raises(InvalidArgument, match="must be true or false, not 'yes'"):
        read_request(rule, {}, [("book.in_print", "yes")], b"")


@pytest.mark.parametrize(
    ("body", "field", "text"),
    [
        (b'{"foo": 1}', "foo", "there is no field 'foo'; fields here: parent, datasetId"),
        (b'{"read": {"foo": 1}}', "read.foo", "there is no field 'read.foo'; fields here: format, minSide, onError"),
        (b'{"read": {"minSide": "x"}}', "read.minSide", "must be an integer, not 'x'"),
        (b'{"read": {"minSide": 1.5}}', "read.minSide", "must be an integer, not 1.5"),
        (b'{"read": {"minSide": 99999999999}}', "read.minSide", "out of range"),
        (b'{"read": {"onError": "NOPE"}}', "read.onError", "Invalid enum value NOPE"),
        (b'{"read": 5}', "read", "must be a JSON object"),
        (b'{"parent": 5}', "parent", "must be a string"),
        (b'{"parent": "a", "parent": "b"}', "parent", "given twice"),
        (b'{"parent": "\\ud800"}', "parent", "surrogate"),
        (b'{"parent": ', "", "not JSON: Expecting value: line 1 column 12"),
        (b"[]", "", "must be a JSON object, not an array"),
        (b"7", "", "must be a JSON object, not a number"),
        (b'{"read": {"minSide": NaN}}', "", "NaN is no JSON"),
        (b'{"read": {"minSide": ' + b"9" * 5000 + b"}}", "", "cannot be read"),
        (b"[" * 200_000, "", "nested too deeply"),
        (b'{"parent": "\xff"}', "", "not UTF-8: byte 12"),
    ],
)
def test_a_wrong_body_is_an_error_that_names_the_field(body: bytes, field: str, text: str) -> None:
    with pytest.raises(InvalidArgument, match="(?i)" + text.replace("(", r"\(")) as caught:
        read_request(rule_of("IngestService", "ImportDataset"), {}, [], body)
    violations = error_body(caught.value.status(), 400)["error"]["details"][1:]
    assert [entry["field"] for detail in violations for entry in detail["fieldViolations"]] == (
        [field] if field else []
    )


@pytest.mark.parametrize(
    ("service", "method", "query", "text"),
    [
        ("DatasetService", "ListDatasets", ("foo", "1"), "there is no field 'foo'"),
        ("DatasetService", "ListDatasets", ("page_size", "x"), "must be an integer"),
        ("DatasetService", "ListDatasets", ("parent", "x"), "in the path"),
        ("IngestService", "ImportDataset", ("datasetId", "x"), "all fields are in the body"),
    ],
)
def test_a_wrong_query_names_the_parameter(service: str, method: str, query: tuple[str, str], text: str) -> None:
    with pytest.raises(InvalidArgument, match=text):
        read_request(rule_of(service, method), {}, [query], b"")


def test_a_parameter_given_twice_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="given twice"):
        read_request(rule_of("JobService", "ListJobs"), {}, [("pageSize", "1"), ("page_size", "2")], b"")


def test_a_body_where_none_belongs_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="takes no body"):
        read_request(rule_of("DatasetService", "GetDataset"), {"name": "users/a/datasets/b"}, [], b"{}")


@given(st.binary(max_size=200))
def test_any_body_is_read_or_refused(body: bytes) -> None:
    try:
        request = read_request(rule_of("IngestService", "ImportDataset"), {}, [], body)
    except InvalidArgument:
        return
    assert isinstance(request, ingest_pb2.ImportDatasetRequest)


def test_answers_are_proto3_json_with_defaults() -> None:
    value = json.loads(write_json(ingest_pb2.Upload(name="uploads/1", state=ingest_pb2.UPLOAD_STATE_OPEN)))
    assert value == {
        "name": "uploads/1",
        "state": "UPLOAD_STATE_OPEN",
        "fileName": "",
        "size": "0",
        "partSize": "0",
        "parts": [],
    }


def test_an_operation_shows_what_it_holds() -> None:
    operation = operations_pb2.Operation(name="jobs/1", done=True)
    operation.metadata.Pack(job_pb2.JobMetadata(kind=job_pb2.JOB_KIND_IMPORT))
    operation.response.Pack(ingest_pb2.ImportDatasetResponse(dataset=dataset_pb2.Dataset(name="users/a/datasets/b")))
    value = json.loads(write_json(operation))
    assert value["metadata"]["kind"] == "JOB_KIND_IMPORT"
    assert value["response"]["@type"] == "type.googleapis.com/framehouse.v1.ImportDatasetResponse"
    assert value["response"]["dataset"]["name"] == "users/a/datasets/b"


def test_an_error_shows_its_details_even_of_a_type_nobody_knows() -> None:
    status: status_pb2.Status = NotFound("dataset", "users/a/datasets/b").status()
    status.details.append(any_pb2.Any(type_url="type.googleapis.com/nobody.Knows", value=b"\x08\x01"))
    error = error_body(status, 404)["error"]
    assert (error["code"], error["status"]) == (404, "NOT_FOUND")
    assert [detail["@type"].rpartition(".")[2] for detail in error["details"]] == ["ErrorInfo", "ResourceInfo", "Knows"]
    assert error["details"][1]["resourceName"] == "users/a/datasets/b"
    assert error["details"][2]["value"] == "CAE="
