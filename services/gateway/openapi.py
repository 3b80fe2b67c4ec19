"""The OpenAPI 3.1 document of the HTTP face: paths from the rules of the contracts, texts from their comments."""

import re
from collections.abc import Iterable, Iterator
from importlib import metadata, resources
from typing import Any

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor, MethodDescriptor
from google.protobuf.descriptor_pb2 import DescriptorProto, EnumDescriptorProto, FileDescriptorSet

from framehouse.runtime.topology import scope_of
from framehouse.v1 import key_pb2
from services.gateway.transcoding import HTTP_BODY, JSON_STRINGS, Rule, Template, find_field, is_map, rules

Json = dict[str, Any]

OWN_PACKAGE = "framehouse.v1."

_STRING: Json = {"type": "string"}
_INT32: Json = {"type": "integer", "format": "int32"}
_UINT32: Json = {"type": "integer", "format": "int64", "minimum": 0}
_INT64: Json = {"type": "string", "format": "int64"}
_UINT64: Json = {"type": "string", "format": "uint64"}
_BYTES: Json = {"type": "string", "contentEncoding": "base64"}

_SCALARS: dict[int, Json] = {
    FieldDescriptor.TYPE_DOUBLE: {"type": "number", "format": "double"},
    FieldDescriptor.TYPE_FLOAT: {"type": "number", "format": "float"},
    FieldDescriptor.TYPE_INT64: _INT64,
    FieldDescriptor.TYPE_SINT64: _INT64,
    FieldDescriptor.TYPE_SFIXED64: _INT64,
    FieldDescriptor.TYPE_UINT64: _UINT64,
    FieldDescriptor.TYPE_FIXED64: _UINT64,
    FieldDescriptor.TYPE_INT32: _INT32,
    FieldDescriptor.TYPE_SINT32: _INT32,
    FieldDescriptor.TYPE_SFIXED32: _INT32,
    FieldDescriptor.TYPE_UINT32: _UINT32,
    FieldDescriptor.TYPE_FIXED32: _UINT32,
    FieldDescriptor.TYPE_BOOL: {"type": "boolean"},
    FieldDescriptor.TYPE_STRING: _STRING,
    FieldDescriptor.TYPE_BYTES: _BYTES,
}

_WELL_KNOWN: dict[str, Json] = {
    "google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
    "google.protobuf.Duration": {"type": "string", "description": "Seconds, for instance `1.5s`."},
    "google.protobuf.FieldMask": {"type": "string", "description": "Names of fields, separated by commas."},
    "google.protobuf.Empty": {"type": "object"},
    "google.protobuf.Struct": {"type": "object"},
    "google.protobuf.Value": {},
    "google.protobuf.ListValue": {"type": "array", "items": {}},
    "google.protobuf.Any": {
        "type": "object",
        "properties": {"@type": {"type": "string", "description": "`type.googleapis.com/` and a message's name."}},
        "required": ["@type"],
        "additionalProperties": True,
    },
    "google.protobuf.StringValue": {"type": ["string", "null"]},
    "google.protobuf.BytesValue": {"type": ["string", "null"], "contentEncoding": "base64"},
    "google.protobuf.BoolValue": {"type": ["boolean", "null"]},
    "google.protobuf.Int32Value": {"type": ["integer", "null"], "format": "int32"},
    "google.protobuf.UInt32Value": {"type": ["integer", "null"], "format": "int64", "minimum": 0},
    "google.protobuf.Int64Value": {"type": ["string", "null"], "format": "int64"},
    "google.protobuf.UInt64Value": {"type": ["string", "null"], "format": "uint64"},
    "google.protobuf.FloatValue": {"type": ["number", "null"], "format": "float"},
    "google.protobuf.DoubleValue": {"type": ["number", "null"], "format": "double"},
}

_ERROR: Json = {
    "type": "object",
    "description": "Every answer that is not 2xx.",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "status", "message", "details"],
            "properties": {
                "code": {"type": "integer", "description": "The HTTP status."},
                "status": {"type": "string", "description": "The canonical code, for instance `NOT_FOUND`."},
                "message": {"type": "string", "description": "What is wrong and how to mend it."},
                "details": {
                    "type": "array",
                    "description": "Messages of `google.rpc`, for instance `BadRequest` with the fields.",
                    "items": _WELL_KNOWN["google.protobuf.Any"],
                },
            },
        }
    },
}


def describe(methods: Iterable[MethodDescriptor]) -> Json:
    """The document for these methods, in their order."""
    methods = list(methods)
    texts = comments()
    schemas = _Schemas(texts)
    paths: Json = {}
    for method in methods:
        for number, rule in enumerate(rules([method])):
            operation = _operation(rule, texts, schemas)
            if number:
                operation["operationId"] += f"_{number + 1}"
            paths.setdefault(path_of(rule.template), {})[rule.verb.lower()] = operation
    services = {method.containing_service.full_name: method.containing_service.name for method in methods}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Framehouse",
            "version": metadata.version("framehouse"),
            "description": "The HTTP face of the suite. Each method is also there over gRPC, under the name that is "
            "its operation's id. Fields at their default are included in answers; in requests, names may be in "
            "camelCase or snake_case. `x-timeout: 1.5` or `grpc-timeout: 1500m` gives a call its deadline, "
            "`x-request-id` its name in all logs. A suite that asks for keys takes them as `authorization: Bearer KEY`;"
            " what a key needs is said as the scope of each method.",
        },
        "tags": [{"name": name, "description": texts.get(full_name, "")} for full_name, name in services.items()],
        "paths": paths,
        "components": {
            "schemas": {**schemas.reached(), "Error": _ERROR},
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
    }


def path_of(template: Template) -> str:
    """The template as OpenAPI writes it: `/v1/users/{user}/datasets/{dataset}:export`."""
    text = template.text
    for field, segments in template.variables:
        plain = "/".join(f"{{{name}}}" if wild else name for name, wild in _parts(field, segments))
        text = re.sub(rf"\{{{re.escape(field)}(=[^}}]*)?\}}", plain.replace("\\", r"\\"), text, count=1)
    return text


def _parts(field: str, segments: str) -> Iterator[tuple[str, bool]]:
    """Segments of a variable: literals, and the names that its wildcards get, after the collection before them."""
    before = ""
    for segment in segments.split("/"):
        if segment in ("*", "**"):
            yield before.removesuffix("s") or field, True
        else:
            yield segment, False
        before = segment


def _operation(rule: Rule, texts: dict[str, str], schemas: "_Schemas") -> Json:
    method = rule.method
    text = texts.get(method.full_name, "")
    parameters = [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": _STRING,
            "description": _field_text(rule, field, texts),
        }
        for field, segments in rule.template.variables
        for name, wild in _parts(field, segments)
        if wild
    ]
    operation: Json = {
        "operationId": f"{method.containing_service.name}_{method.name}",
        "tags": [method.containing_service.name],
        "summary": re.split(r"(?<=\.)\s", text, maxsplit=1)[0],
        "description": text,
        # Whether keys are asked for is a setting.
        "security": [{}, {"key": [key_pb2.Scope.Name(scope_of(method)).removeprefix("SCOPE_").lower()]}],
    }
    taken = {field for field, _ in rule.template.variables}
    if rule.body != "*":
        parameters += _query(method.input_type, taken | {rule.body}, schemas)
    if parameters:
        operation["parameters"] = parameters
    if rule.body:
        body = (
            schemas.message(method.input_type)
            if rule.body == "*"
            else schemas.field(method.input_type.fields_by_name[rule.body])
        )
        operation["requestBody"] = {"content": {"application/json": {"schema": body}}}
        if method.client_streaming:
            text = "The only message of the stream; more than one is sent over gRPC."
            operation["requestBody"]["description"] = text
    operation["responses"] = {
        "200": _response(method, schemas),
        "default": {
            "description": "An error.",
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
        },
    }
    return operation


def _response(method: MethodDescriptor, schemas: "_Schemas") -> Json:
    if method.output_type.full_name == HTTP_BODY:
        content = {"*/*": {"schema": {"type": "string", "format": "binary"}}}
        return {"description": "The file itself; its content-type says what it is.", "content": content}
    content = {"application/json": {"schema": schemas.message(method.output_type)}}
    if method.server_streaming:
        text = "A line of JSON for each message, as they come; an error after the first is a last line."
        return {"description": text, "content": {"application/x-ndjson": content["application/json"]}}
    return {"description": "The answer.", "content": content}


def _field_text(rule: Rule, field: str, texts: dict[str, str]) -> str:
    return texts.get(find_field(rule.method.input_type, field)[1].full_name, "")


def _query(
    message: Descriptor, taken: set[str], schemas: "_Schemas", above: str = "", seen: tuple[str, ...] = ()
) -> list[Json]:
    """Parameters for all fields that a query string can hold; a message's fields are named after it, `read.format`."""
    parameters: list[Json] = []
    for field in message.fields:
        inner = field.message_type
        if above + field.name in taken or is_map(field):
            continue
        if inner is None or inner.full_name in JSON_STRINGS:
            schema = schemas.field(field)
            text = schema.pop("description", "")
            parameters.append({"name": above + field.json_name, "in": "query", "schema": schema, "description": text})
        elif not field.is_repeated and inner.full_name not in (*seen, *_WELL_KNOWN):
            parameters += _query(inner, set(), schemas, f"{above}{field.json_name}.", (*seen, message.full_name))
    return parameters


class _Schemas:
    """Schemas of messages and enums, and of all that they reach."""

    def __init__(self, texts: dict[str, str]) -> None:
        self._texts = texts
        self._made: dict[str, Json] = {}

    def reached(self) -> dict[str, Json]:
        """All that was asked for so far, by name."""
        return dict(sorted(self._made.items()))

    def message(self, message: Descriptor) -> Json:
        """A reference to a message, or the form of a well-known one."""
        if message.full_name in _WELL_KNOWN:
            return dict(_WELL_KNOWN[message.full_name])
        name = _name(message)
        if name not in self._made:
            schema = self._made[name] = {"type": "object"}
            if text := self._texts.get(message.full_name):
                schema["description"] = text
            schema["properties"] = {field.json_name: self.field(field) for field in message.fields}
        return {"$ref": f"#/components/schemas/{name}"}

    def field(self, field: FieldDescriptor) -> Json:
        """The schema of a field, with its comment."""
        if is_map(field) and field.message_type is not None:
            schema: Json = {
                "type": "object",
                "additionalProperties": self._value(field.message_type.fields_by_name["value"]),
            }
        elif field.is_repeated:
            schema = {"type": "array", "items": self._value(field)}
        else:
            schema = self._value(field)
        if text := self._texts.get(field.full_name):
            schema["description"] = text
        return schema

    def _value(self, field: FieldDescriptor) -> Json:
        if field.message_type is not None:
            return self.message(field.message_type)
        if field.enum_type is not None:
            return self._enum(field.enum_type)
        return dict(_SCALARS[field.type])

    def _enum(self, enum: EnumDescriptor) -> Json:
        name = _name(enum)
        if name not in self._made:
            lines = [f"`{value.name}`: {self._texts.get(_value_key(enum, value.name), '')}" for value in enum.values]
            text = "\n\n".join(filter(None, [self._texts.get(enum.full_name, ""), *lines]))
            self._made[name] = {"type": "string", "enum": [value.name for value in enum.values], "description": text}
        return {"$ref": f"#/components/schemas/{name}"}


def _name(type_: Descriptor | EnumDescriptor) -> str:
    return type_.full_name.removeprefix(OWN_PACKAGE)


def _value_key(enum: EnumDescriptor, value: str) -> str:
    return f"{enum.full_name}.{value}"


def comments() -> dict[str, str]:
    """The comment above each service, method, message, field, enum and value of our contracts, by full name."""
    data = resources.files("framehouse.v1").joinpath("descriptors.binpb").read_bytes()
    texts: dict[str, str] = {}
    for file in FileDescriptorSet.FromString(data).file:
        names = dict(_named(file.package, file.message_type, file.enum_type, (4,), (5,)))
        for i, service in enumerate(file.service):
            names[6, i] = f"{file.package}.{service.name}"
            names |= {(6, i, 2, j): f"{names[6, i]}.{method.name}" for j, method in enumerate(service.method)}
        for location in file.source_code_info.location:
            name = names.get(tuple(location.path))
            if name and location.leading_comments:
                texts[name] = _unwrap(location.leading_comments)
    return texts


def _named(
    above: str,
    messages: Iterable[DescriptorProto],
    enums: Iterable[EnumDescriptorProto],
    messages_at: tuple[int, ...],
    enums_at: tuple[int, ...],
) -> Iterator[tuple[tuple[int, ...], str]]:
    """Paths into a file, in the numbers of descriptor.proto, with the full names of what is there."""
    for i, message in enumerate(messages):
        name, at = f"{above}.{message.name}", (*messages_at, i)
        yield at, name
        for j, field in enumerate(message.field):
            yield (*at, 2, j), f"{name}.{field.name}"
        yield from _named(name, message.nested_type, message.enum_type, (*at, 3), (*at, 4))
    for i, enum in enumerate(enums):
        name, at = f"{above}.{enum.name}", (*enums_at, i)
        yield at, name
        for j, value in enumerate(enum.value):
            yield (*at, 2, j), f"{name}.{value.name}"


def _unwrap(comment: str) -> str:
    """A comment as paragraphs: the line breaks of the source go."""
    paragraphs = re.split(r"\n\s*\n", comment.strip())
    return "\n\n".join(" ".join(line.strip() for line in paragraph.splitlines()) for paragraph in paragraphs)
