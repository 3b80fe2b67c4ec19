"""Errors as they travel: small enough for a response's trailers, whatever a client has sent."""

import base64
import json
from urllib.parse import quote

import pytest
from google.rpc import error_details_pb2

from framehouse.runtime.errors import AlreadyExists, InvalidArgument, NotFound, ServiceError, shortened
from framehouse.runtime.page_tokens import values_of

TRAILERS = 8192
"""Bytes that clients take, unless told otherwise."""
HUGE = "\U0001f600" * 30_000


@pytest.mark.parametrize(
    "error",
    [
        InvalidArgument(f"{HUGE!r} is no dataset; write another", field=HUGE, facts={"given": HUGE}),
        NotFound("dataset", HUGE, "write another"),
        AlreadyExists("dataset", HUGE, "write another"),
    ],
)
def test_what_is_said_of_a_huge_value_fits_and_keeps_its_remedy(error: ServiceError) -> None:
    status = error.status()
    assert status.message.endswith("; write another")
    sent = quote(status.message), base64.b64encode(status.SerializeToString()).decode()
    assert sum(map(len, sent)) < TRAILERS - 500
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    assert info.reason == error.reason


def test_a_text_of_usual_length_stays_as_it_is() -> None:
    assert shortened("é" * 300) == "é" * 300
    assert len(shortened("é" * 301).encode()) <= 600


@pytest.mark.parametrize(
    "values",
    ["[" * 50_000, "NaN", "{}", "[true]", "[1.5]", "[1e999]", f"[{2**70}]", '["\\ud800"]', '["\\u0000"]', "[[]]"],
)
def test_page_tokens_of_another_form_are_refused(values: str) -> None:
    with pytest.raises(ValueError):
        values_of(base64.urlsafe_b64encode(values.encode()).decode())
    ours = ["a", 1, None, "ü"]
    assert values_of(base64.urlsafe_b64encode(json.dumps(ours).encode()).decode()) == ours
