"""Checks that hold for the requests of all services, whatever they ask for."""

from functools import cache

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message

from framehouse.runtime.errors import InvalidArgument


def check_enums(request: Message, path: str = "") -> None:
    """InvalidArgument where a field has a number that its enumeration has not: a client of a newer contract means by it
    what nobody here would do.
    """
    for field in _looked_at(request.DESCRIPTOR):
        if field.is_repeated:
            values = getattr(request, field.name)
            places = [f"{path}{field.name}[{place}]" for place in range(len(values))]
        elif field.message_type is not None and not request.HasField(field.name):
            continue
        else:
            values, places = [getattr(request, field.name)], [f"{path}{field.name}"]
        for value, place in zip(values, places, strict=True):
            if field.message_type is not None:
                check_enums(value, f"{place}.")
            elif field.enum_type is not None and value not in field.enum_type.values_by_number:
                raise _unknown(field.enum_type, value, place)


def _unknown(numbers: EnumDescriptor, value: int, place: str) -> InvalidArgument:
    known = ", ".join(one.name for one in numbers.values)
    return InvalidArgument(
        f"{place} is {value}, which is no {numbers.name} here; known are {known}",
        reason="ENUM_VALUE_UNKNOWN",
        field=place,
        facts={"value": str(value)},
    )


@cache
def _looked_at(message: Descriptor) -> tuple[FieldDescriptor, ...]:
    """The fields that are of an enumeration, or of a message that has such fields."""
    return tuple(field for field in message.fields if field.enum_type is not None or _has_enums(field.message_type))


def _has_enums(message: Descriptor | None, above: frozenset[str] = frozenset()) -> bool:
    if message is None or message.full_name in above or message.GetOptions().map_entry:
        return False
    above |= {message.full_name}
    return any(field.enum_type is not None or _has_enums(field.message_type, above) for field in message.fields)
