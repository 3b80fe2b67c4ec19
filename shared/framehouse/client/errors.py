"""Everything that can go wrong for a caller, by canonical gRPC code, with what to do about it.

Built from the `google.rpc.Status` that the suite answers, or raised here, before anything is sent, for local files.
"""

from collections.abc import Mapping
from pathlib import Path

import grpc
from google.rpc import code_pb2, error_details_pb2, status_pb2

STATUS_DETAILS = "grpc-status-details-bin"


class FramehouseError(Exception):
    """Base of all. `str()` is one sentence for a person; `reason` is stable, for programs; `facts` are its values."""

    code = "UNKNOWN"
    retry_seconds = 0.0
    """After which it is worth to try again, where the suite says so."""

    def __init__(
        self, message: str, *, remedy: str = "", reason: str = "", facts: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        self.reason = reason or self.code
        self.facts = dict(facts or {})


class Cancelled(FramehouseError):
    """The job was cancelled."""

    code = "CANCELLED"


class InvalidArgument(FramehouseError):
    """The input, or what was asked for, is wrong."""

    code = "INVALID_ARGUMENT"


class NotFound(FramehouseError):
    """There is nothing of that name."""

    code = "NOT_FOUND"


class AlreadyExists(FramehouseError):
    """There is something of that name."""

    code = "ALREADY_EXISTS"


class PermissionDenied(FramehouseError):
    """The caller may not."""

    code = "PERMISSION_DENIED"


class Unauthenticated(FramehouseError):
    """The caller has not said who it is."""

    code = "UNAUTHENTICATED"


class ResourceExhausted(FramehouseError):
    """A limit or a quota is reached."""

    code = "RESOURCE_EXHAUSTED"


class FailedPrecondition(FramehouseError):
    """Something else has to be done first."""

    code = "FAILED_PRECONDITION"


class Aborted(FramehouseError):
    """Somebody else changed it first."""

    code = "ABORTED"


class DeadlineExceeded(FramehouseError):
    """It took longer than the caller wanted to wait."""

    code = "DEADLINE_EXCEEDED"


class Unavailable(FramehouseError):
    """The suite, or something that it needs, does not answer."""

    code = "UNAVAILABLE"


class Internal(FramehouseError):
    """A defect of the suite."""

    code = "INTERNAL"


_BY_CODE = {error.code: error for error in FramehouseError.__subclasses__()}

_REMEDIES = {
    "UNAVAILABLE": "look at `framehouse status`, then try again",
    "DEADLINE_EXCEEDED": "try again, with a longer timeout where there is much to do",
    "ABORTED": "read it again and repeat the change",
    "INTERNAL": "please report it, with the request id and the service's log",
}


def from_status(status: status_pb2.Status) -> FramehouseError:
    """The error that a `google.rpc.Status` tells of."""
    code = str(code_pb2.Code.Name(status.code)) if status.code in code_pb2.Code.values() else "UNKNOWN"
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    for detail in status.details:
        for known in (info, retry):
            detail.Unpack(known)
    kind = _BY_CODE.get(code, FramehouseError)
    facts = dict(info.metadata)
    remedy = facts.pop("remedy", _REMEDIES.get(code, ""))
    error = kind(status.message or code, remedy=remedy, reason=info.reason, facts=facts)
    error.retry_seconds = retry.retry_delay.ToTimedelta().total_seconds()
    return error


def from_call(error: grpc.aio.AioRpcError, address: str) -> FramehouseError:
    """The error of a call to the suite at host:port."""
    trailing = error.trailing_metadata()
    for key, value in trailing or ():
        if key == STATUS_DETAILS and isinstance(value, bytes):
            return from_status(status_pb2.Status.FromString(value))
    if error.code() is grpc.StatusCode.UNAVAILABLE and not trailing:
        return no_suite(address, error.details() or "")
    return from_status(status_pb2.Status(code=error.code().value[0], message=error.details() or ""))


def unwritable(path: Path, error: OSError) -> InvalidArgument:
    """The error for a file or folder that could not be written."""
    return InvalidArgument(
        f"{str(path)!r} cannot be written: {(error.strerror or str(error)).lower()}",
        remedy="name another place, or make room there",
        reason="TARGET_UNWRITABLE",
    )


def no_suite(address: str, cause: str = "") -> Unavailable:
    """Nothing listens where the suite should be, or not what is believed to be it."""
    if "CERTIFICATE_VERIFY_FAILED" in cause or "Hostname Verification" in cause:
        return Unavailable(
            f"the certificate of what answers at {address} is not one to believe",
            remedy="name the file of the authority that vouches for it by FRAMEHOUSE_CA, and the host as it does",
            reason="CERTIFICATE_REFUSED",
            facts={"address": address, "cause": cause},
        )
    return Unavailable(
        f"no Framehouse suite answers at {address}",
        remedy="start one with `framehouse up`, or name the one you mean by FRAMEHOUSE_ADDRESS",
        reason="SUITE_UNREACHABLE",
        facts={"address": address, "cause": cause},
    )
