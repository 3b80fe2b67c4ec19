"""Errors with the facts that mend them, raised where they are known and turned into a status once.

A handler raises one of these; the server's interceptor answers with the canonical code and `google.rpc` details, the
activity wrapper fails the job with the same status. Anything else that escapes is a defect and becomes `INTERNAL`
without a stack trace for the client.
"""

import math
from collections.abc import Mapping

import grpc
from google.protobuf import any_pb2, duration_pb2, message
from google.rpc import code_pb2, error_details_pb2, status_pb2

DOMAIN = "framehouse.dev"
"""Domain of the reasons in `ErrorInfo`."""
LONGEST = 600
"""Bytes of a text in a status. All of it travels in a response's trailers, some 8 kB, once as text with three letters
for each byte that is not ASCII, and once more, several times over, in the details."""


class ServiceError(Exception):
    """Base of all errors that a client may see. `reason` is stable, UPPER_SNAKE_CASE."""

    code: grpc.StatusCode = grpc.StatusCode.INTERNAL

    def __init__(
        self,
        text: str,
        *,
        reason: str,
        details: tuple[message.Message, ...] = (),
        facts: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(text)
        self.text = text
        self.reason = reason
        self.details = (
            error_details_pb2.ErrorInfo(reason=reason, domain=DOMAIN, metadata=dict(facts or {})),
            *details,
        )

    def status(self) -> status_pb2.Status:
        """The error as `google.rpc.Status`, details included."""
        status = status_pb2.Status(code=self.code.value[0], message=shortened(self.text))
        for detail in self.details:
            packed = any_pb2.Any()
            packed.Pack(_with_short_texts(detail))
            status.details.append(packed)
        return status


class InvalidArgument(ServiceError):
    """The request itself is wrong. `field` names the field, by its path in the message."""

    code = grpc.StatusCode.INVALID_ARGUMENT

    def __init__(
        self, text: str, *, reason: str = "INVALID_ARGUMENT", field: str = "", facts: Mapping[str, str] | None = None
    ) -> None:
        violation = error_details_pb2.BadRequest.FieldViolation(field=field, description=text)
        details = (error_details_pb2.BadRequest(field_violations=[violation]),) if field else ()
        super().__init__(text, reason=reason, details=details, facts=facts)
        self.field = field
        self.facts = facts

    def within(self, path: str) -> "InvalidArgument":
        """The same of a message that is the field `path` of the request."""
        return InvalidArgument(self.text, reason=self.reason, field=f"{path}.{self.field}", facts=self.facts)


class NotFound(ServiceError):
    """A named resource does not exist."""

    code = grpc.StatusCode.NOT_FOUND

    def __init__(self, kind: str, name: str, remedy: str = "") -> None:
        text = f"{kind} {name!r} does not exist" + (f"; {remedy}" if remedy else "")
        info = error_details_pb2.ResourceInfo(resource_type=kind, resource_name=name, description=text)
        super().__init__(text, reason=f"{kind.upper().replace(' ', '_')}_NOT_FOUND", details=(info,))


class AlreadyExists(ServiceError):
    """A resource of that name exists."""

    code = grpc.StatusCode.ALREADY_EXISTS

    def __init__(self, kind: str, name: str, remedy: str = "") -> None:
        text = f"{kind} {name!r} exists already" + (f"; {remedy}" if remedy else "")
        info = error_details_pb2.ResourceInfo(resource_type=kind, resource_name=name, description=text)
        super().__init__(text, reason=f"{kind.upper().replace(' ', '_')}_EXISTS", details=(info,))


class FailedPrecondition(ServiceError):
    """The system is not in the state that the call needs; retrying alone does not help."""

    code = grpc.StatusCode.FAILED_PRECONDITION


class PermissionDenied(ServiceError):
    """The caller may not, or the settings do not allow it."""

    code = grpc.StatusCode.PERMISSION_DENIED


class Unauthenticated(ServiceError):
    """The caller has not said who it is, or is not who it says."""

    code = grpc.StatusCode.UNAUTHENTICATED


class ResourceExhausted(ServiceError):
    """A limit of the caller's is reached; after `retry_seconds` it may be worth to try again."""

    code = grpc.StatusCode.RESOURCE_EXHAUSTED

    def __init__(self, text: str, *, reason: str, retry_seconds: float, facts: Mapping[str, str] | None = None) -> None:
        delay = duration_pb2.Duration()
        delay.FromMilliseconds(math.ceil(retry_seconds * 1000))
        super().__init__(text, reason=reason, details=(error_details_pb2.RetryInfo(retry_delay=delay),), facts=facts)


class Aborted(ServiceError):
    """Somebody else changed the resource first; read it again and retry."""

    code = grpc.StatusCode.ABORTED


class Unavailable(ServiceError):
    """Something that the service needs does not answer; retrying helps once it is back."""

    code = grpc.StatusCode.UNAVAILABLE

    def __init__(self, what: str, address: str, cause: str = "") -> None:
        text = f"{what} at {address} does not answer" + (f": {cause}" if cause else "")
        super().__init__(text, reason="DEPENDENCY_UNAVAILABLE", facts={"dependency": what, "address": address})


class Cancelled(ServiceError):
    """The job was cancelled by its user."""

    code = grpc.StatusCode.CANCELLED

    def __init__(self, text: str) -> None:
        super().__init__(text, reason="CANCELLED")


class Internal(ServiceError):
    """A defect of ours; the log has the stack trace under the request id."""

    def __init__(self, request_id: str) -> None:
        text = f"internal error; the server's log has the details under request id {request_id}"
        super().__init__(text, reason="INTERNAL", facts={"request_id": request_id})


RETRIABLE = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.INTERNAL,
}
"""Codes after which a job's step is tried again."""


def shortened(text: str) -> str:
    """A text of `LONGEST` bytes at most: of a longer one its beginning, which has the fact, and its end, which has the
    remedy.
    """
    data = text.encode()
    if len(data) <= LONGEST:
        return text
    half = LONGEST // 2 - len("…".encode())
    return f"{data[:half].decode(errors='ignore')}…{data[-half:].decode(errors='ignore')}"


def _with_short_texts(detail: message.Message) -> message.Message:
    short = type(detail)()
    short.CopyFrom(detail)
    match short:
        case error_details_pb2.ErrorInfo():
            for name, fact in detail.metadata.items():  # type: ignore[attr-defined]
                short.metadata[name] = shortened(fact)
        case error_details_pb2.BadRequest():
            for violation in short.field_violations:
                violation.field, violation.description = shortened(violation.field), shortened(violation.description)
        case error_details_pb2.ResourceInfo():
            short.resource_name, short.description = shortened(short.resource_name), shortened(short.description)
    return short


def code_name(number: int) -> str:
    """`NOT_FOUND` for 5."""
    return str(code_pb2.Code.Name(number))


def explain(status: status_pb2.Status) -> str:
    """A status as one line for a person: the message, and the code where the message is empty."""
    return status.message or code_name(status.code)
