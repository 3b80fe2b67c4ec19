"""Between HTTP/JSON and protobuf messages, as the `google.api.http` rules of the contracts say.

Pure functions on descriptors: no method, message or field is known here by name. Every mistake of a caller is raised as
`InvalidArgument` that names the field.
"""

import base64
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from google.api import annotations_pb2, http_pb2
from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc import status_pb2

from framehouse.runtime.errors import InvalidArgument, code_name

HTTP_STATUS = {
    "OK": 200,
    "CANCELLED": 499,
    "UNKNOWN": 500,
    "INVALID_ARGUMENT": 400,
    "DEADLINE_EXCEEDED": 504,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "PERMISSION_DENIED": 403,
    "UNAUTHENTICATED": 401,
    "RESOURCE_EXHAUSTED": 429,
    "FAILED_PRECONDITION": 400,
    "ABORTED": 409,
    "OUT_OF_RANGE": 400,
    "UNIMPLEMENTED": 501,
    "INTERNAL": 500,
    "UNAVAILABLE": 503,
    "DATA_LOSS": 500,
}
"""HTTP status of each canonical code; source: the comments of google/rpc/code.proto."""

JSON_STRINGS = {
    "google.protobuf.Timestamp",
    "google.protobuf.Duration",
    "google.protobuf.FieldMask",
    "google.protobuf.StringValue",
    "google.protobuf.BytesValue",
    "google.protobuf.BoolValue",
    "google.protobuf.Int32Value",
    "google.protobuf.Int64Value",
    "google.protobuf.UInt32Value",
    "google.protobuf.UInt64Value",
    "google.protobuf.FloatValue",
    "google.protobuf.DoubleValue",
}
"""Messages whose JSON form is one value, so that a query parameter can hold them."""

HTTP_BODY = "google.api.HttpBody"
"""A method that answers with this message answers with its bytes, of the type that it names."""


# --- rules


@dataclass(frozen=True)
class Template:
    """A path template, `/v1/{name=users/*/datasets/*}:export`, compiled."""

    text: str
    pattern: re.Pattern[str]
    variables: tuple[tuple[str, str], ...]
    """Field path and segments of each variable, in order: `("name", "users/*/datasets/*")`."""
    verb: str
    """The custom verb with its colon, or empty."""

    def match(self, path: str) -> dict[str, str] | None:
        """Values of the variables, decoded, for a path as it came (percent-encoded)."""
        found = self.pattern.fullmatch(path)
        if found is None:
            return None
        return {
            field: _decode(value, whole=segments == "*")
            for (field, segments), value in zip(self.variables, found.groups(), strict=True)
        }


@dataclass(frozen=True)
class Rule:
    """One HTTP binding of a method."""

    method: MethodDescriptor
    verb: str
    """The HTTP method: `GET`."""
    template: Template
    body: str
    """`*`, the name of a field, or empty."""


def compile_template(text: str) -> Template:
    """Compiles a path template of google/api/http.proto."""
    split = re.fullmatch(r"(.*?)(:[^/{}]+)?", text)
    path, verb = (split.group(1), split.group(2) or "") if split else (text, "")
    variables: list[tuple[str, str]] = []
    pattern = ""
    for part in re.split(r"(\{[^}]*\})", path):
        if part.startswith("{"):
            field, _, segments = part[1:-1].partition("=")
            variables.append((field, segments or "*"))
            pattern += f"({_segments(segments or '*')})"
        else:
            pattern += _segments(part)
    return Template(text, re.compile(pattern + re.escape(verb)), tuple(variables), verb)


def _segments(text: str) -> str:
    # A colon begins the verb, so that a colon inside an id has to be sent as %3A.
    wild = {"*": "[^/:]+", "**": "[^:]*"}
    return "".join(wild.get(token) or re.escape(token) for token in re.split(r"(\*\*|\*)", text))


def _decode(value: str, *, whole: bool) -> str:
    """Percent-decodes. Where the value has several segments, an encoded slash stays encoded: it is no border."""
    try:
        if whole:
            return unquote(value, errors="strict")
        return "".join(
            part if part.upper() == "%2F" else unquote(part, errors="strict") for part in re.split(r"(%2[Ff])", value)
        )
    except UnicodeDecodeError:
        raise InvalidArgument(f"the path is not UTF-8: {value!r}") from None


def rules(methods: Iterable[MethodDescriptor]) -> Iterator[Rule]:
    """The bindings of the methods, those with a custom verb first, so that no `*` takes them."""
    found = [rule for method in methods for rule in _bindings(method)]
    return iter(sorted(found, key=lambda rule: not rule.template.verb))


def _bindings(method: MethodDescriptor) -> Iterator[Rule]:
    http: http_pb2.HttpRule = method.GetOptions().Extensions[annotations_pb2.http]
    for binding in (http, *http.additional_bindings):
        verb = binding.WhichOneof("pattern")
        if verb in (None, "custom") or binding.response_body:
            raise ValueError(f"{method.full_name}: custom verbs and response_body are not transcoded")
        yield Rule(method, verb.upper(), compile_template(getattr(binding, verb)), binding.body)


# --- requests


def read_request(rule: Rule, variables: Mapping[str, str], query: Iterable[tuple[str, str]], body: bytes) -> Message:
    """The request message of an HTTP call: body first, then the query string, then what the path says."""
    message: Message = GetMessageClass(rule.method.input_type)()
    if rule.body:
        read_json(message, body, rule.body)
    elif body.strip():
        raise InvalidArgument(f"{rule.verb} {rule.template.text} takes no body")
    if values := _query_values(rule, query):
        _merge(values, message)
    if variables:
        values = {}
        for field, value in variables.items():
            _put(values, *find_field(rule.method.input_type, field), value)
        _merge(values, message)
    return message


def read_json(message: Message, text: bytes, body: str) -> None:
    """Merges a JSON body into the message, or into its field `body` unless that is `*`. No body is an empty one."""
    try:
        value = json.loads(text.decode(), object_pairs_hook=_unique, parse_constant=_refuse_constant) if text else {}
    except UnicodeDecodeError as error:
        raise InvalidArgument(f"the body is not UTF-8: byte {error.start}") from None
    except RecursionError:
        raise InvalidArgument("the body is nested too deeply") from None
    except json.JSONDecodeError as error:
        raise InvalidArgument(f"the body is not JSON: {error}") from None
    except ValueError as error:  # a number of more digits than Python reads
        raise InvalidArgument(f"the body cannot be read: {error}") from None
    if not isinstance(value, dict):
        raise InvalidArgument(f"the body must be a JSON object, not {_json_type(value)}")
    _merge(value if body == "*" else {body: value}, message)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        names = [name for name, _ in pairs]
        double = next(name for name in names if names.count(name) > 1)
        raise InvalidArgument(f"the field {double!r} is given twice", field=double)
    return members


def _refuse_constant(name: str) -> None:
    raise InvalidArgument(f"{name} is no JSON; send it as a string")


def _json_type(value: object) -> str:
    return {list: "an array", str: "a string", bool: "a boolean", type(None): "null"}.get(type(value), "a number")


def _query_values(rule: Rule, query: Iterable[tuple[str, str]]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    in_path = {field for field, _ in rule.template.variables}
    for name, text in query:
        if rule.body == "*":
            raise InvalidArgument(
                f"{name!r} does not belong in the query string: all fields are in the body", field=name
            )
        path, field = find_field(rule.method.input_type, name)
        if ".".join(path) in in_path or path[0] == rule.body:
            where = "body" if path[0] == rule.body else "path"
            raise InvalidArgument(f"{name!r} does not belong in the query string: it is in the {where}", field=name)
        _put(values, path, field, text)
    return values


def find_field(message: Descriptor, name: str) -> tuple[tuple[str, ...], FieldDescriptor]:
    """The field that `a.b` names, each step in camelCase or snake_case; the path comes back in snake_case."""
    path: list[str] = []
    found: FieldDescriptor | None = None
    inside: Descriptor | None = message
    for step in name.split("."):
        if inside is None:
            raise InvalidArgument(f"{'.'.join(path)!r} is a single value and has no field {step!r}", field=name)
        found = inside.fields_by_name.get(step) or inside.fields_by_camelcase_name.get(step)
        if found is None:
            known = ", ".join(field.json_name for field in inside.fields) or "none"
            raise InvalidArgument(f"there is no field {name!r}; fields here: {known}", field=name)
        path.append(found.name)
        inside = None if found.is_repeated or found.message_type is None else found.message_type
        if inside is not None and inside.full_name in JSON_STRINGS:
            inside = None
    if found is None or inside is not None or is_map(found):
        raise InvalidArgument(f"{name!r} is a message: name one of its fields, as in '{name}.field'", field=name)
    return tuple(path), found


def is_map(field: FieldDescriptor) -> bool:
    """Whether a field is a map, which descriptors show as a repeated entry."""
    return field.message_type is not None and bool(field.message_type.GetOptions().map_entry)


def _put(values: dict[str, Any], path: tuple[str, ...], field: FieldDescriptor, text: str) -> None:
    """Puts one parameter at its place in the JSON form of a message."""
    for step in path[:-1]:
        values = values.setdefault(step, {})
    name = ".".join(path)
    value: str | bool = text
    wrapper = field.message_type is not None and field.message_type.full_name == "google.protobuf.BoolValue"
    if field.type == FieldDescriptor.TYPE_BOOL or wrapper:
        if text not in ("true", "false"):
            raise InvalidArgument(f"{name!r} must be true or false, not {text!r}", field=name)
        value = text == "true"
    if field.is_repeated:
        values.setdefault(path[-1], []).append(value)
    elif path[-1] in values:
        raise InvalidArgument(f"{name!r} is given twice", field=name)
    else:
        values[path[-1]] = value


def _merge(values: dict[str, Any], message: Message) -> None:
    try:
        json_format.ParseDict(values, message)
    except json_format.ParseError as error:
        field, text = explain(str(error))
        raise InvalidArgument(text, field=field) from None


_WORDING = (
    (re.compile(r"invalid literal for int\(\) with base 10: (.*)"), r"must be an integer, not \1"),
    (re.compile(r"could not convert string to float: (.*)"), r"must be a number, not \1"),
    (re.compile(r"expected string or bytes-like object, got .*"), "must be a string"),
    (re.compile(r"'\w+' object is not iterable|.* object has no attribute .*"), "must be a JSON object"),
    (re.compile(r"Couldn't parse integer: (.*)"), r"must be an integer, not \1"),
)


def explain(text: str) -> tuple[str, str]:
    """The field and a sentence for a caller, from a message of `json_format.ParseError`."""
    if unknown := re.search(r'has no field named "(.*?)" at "(.*?)"\.\n Available Fields[^"]*"\[(.*?)\]"', text, re.S):
        name, place, known = unknown.groups()
        field = ".".join([*place.split(".")[1:], name])
        return field, f"there is no field {field!r}; fields here: {known.replace(chr(39), '') or 'none'}"
    steps = []
    while step := re.match(r"Failed to parse (\w+) field: ", text):
        steps.append(step.group(1))
        text = text[step.end() :]
    reason, place = text.rstrip("."), ""
    if named := re.fullmatch(r"(.*?) at \w+\.?([\w.\[\]]*)", reason, re.S):
        reason, place = named.groups()
    # Each of the two leaves steps out now and then; the longer path is the whole one.
    field = max(".".join(steps), place, key=len)
    for pattern, wording in _WORDING:
        reason = pattern.sub(wording, reason)
    return field, f"{field!r}: {reason}" if field else reason


# --- responses


def write_json(message: Message) -> bytes:
    """The proto3 JSON form: camelCase, 64-bit numbers as strings, fields at their default included."""
    value = json_format.MessageToDict(message, always_print_fields_with_no_presence=True)
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def write_answer(message: Message) -> tuple[str, bytes]:
    """Content type and body of an answer: JSON, or what an HttpBody holds."""
    if message.DESCRIPTOR.full_name == HTTP_BODY:
        return message.content_type or "application/octet-stream", message.data  # type: ignore[attr-defined]
    return "application/json", write_json(message)


def error_body(status: status_pb2.Status, http: int) -> dict[str, Any]:
    """What an error looks like on the HTTP face; `http` is the HTTP status that goes with it."""
    return {
        "error": {
            "code": http,
            "status": code_name(status.code),
            "message": status.message,
            "details": [_detail(detail) for detail in status.details],
        }
    }


def _detail(detail: Message) -> dict[str, Any]:
    try:
        return json_format.MessageToDict(detail)
    except (TypeError, ValueError):
        # A type that the gateway does not know is handed on as it came.
        return {"@type": detail.type_url, "value": base64.b64encode(detail.value).decode()}  # type: ignore[attr-defined]
