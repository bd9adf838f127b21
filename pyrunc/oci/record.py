"""How are frozen records written where start-up time counts?

Hot paths may import neither dataclasses (12 ms for thirty of them) nor msgspec (20 ms).  A
`Record` costs microseconds to define: keyword-only fields from the annotations, defaults from the
class body, frozen, slotted, equal by value.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Self, dataclass_transform
else:

    def dataclass_transform(**_options: object) -> object:
        """Stand in for typing.dataclass_transform, which is for type checkers only."""
        return lambda cls: cls


@dataclass_transform(kw_only_default=True, frozen_default=True)
class RecordType(type):
    """Turn the annotations of a class body into slots, and its assignments into defaults."""

    def __new__(
        mcs: type[RecordType], name: str, bases: tuple[type, ...], body: dict[str, Any]
    ) -> RecordType:
        """Build the class; fields of base records come first."""
        inherited: tuple[str, ...] = ()
        defaults: dict[str, Any] = {}
        for base in bases:
            inherited += getattr(base, "record_fields", ())
            defaults |= getattr(base, "record_defaults", {})
        own = tuple(body.get("__annotations__", ()))
        defaults |= {field: body.pop(field) for field in own if field in body}
        body["__slots__"] = own
        cls = super().__new__(mcs, name, bases, body)
        cls.record_fields = inherited + own
        cls.record_defaults = defaults
        return cls

    record_fields: tuple[str, ...]
    record_defaults: dict[str, Any]


class Record(metaclass=RecordType):
    """A frozen, slotted value with keyword-only fields."""

    def __init__(self, **values: Any) -> None:
        """Set every field.  Raises TypeError for a missing or an unknown one."""
        cls = type(self)
        for field in cls.record_fields:
            if field in values:
                object.__setattr__(self, field, values.pop(field))
            elif field in cls.record_defaults:
                object.__setattr__(self, field, cls.record_defaults[field])
            else:
                raise TypeError(f"{cls.__name__} needs {field!r}")
        if values:
            raise TypeError(f"{cls.__name__} has no {', '.join(map(repr, values))}")

    def __setattr__(self, name: str, value: object) -> None:
        """Refuse: records are frozen."""
        raise AttributeError(f"{type(self).__name__} is frozen: cannot set {name!r}")

    def replace(self, **changes: Any) -> Self:
        """Return a copy with some fields changed."""
        return type(self)(**(self.as_dict() | changes))

    def as_dict(self) -> dict[str, Any]:
        """Return the fields by name, in order of definition, values as they are."""
        return {field: getattr(self, field) for field in type(self).record_fields}

    def __eq__(self, other: object) -> bool:
        """Compare type and fields."""
        return type(self) is type(other) and self.as_dict() == other.as_dict()

    def __hash__(self) -> int:
        """Hash the fields; raises TypeError where one of them can't be hashed."""
        return hash((type(self), tuple(self.as_dict().values())))

    def __repr__(self) -> str:
        """Show the constructor call."""
        fields = ", ".join(f"{name}={value!r}" for name, value in self.as_dict().items())
        return f"{type(self).__name__}({fields})"
