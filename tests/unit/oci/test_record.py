"""Records: frozen values that cost nothing to define."""

from __future__ import annotations

import pytest

from pyrunc.oci.record import Record


class Point(Record):
    """Has a default."""

    x: int
    y: int = 0


class Named(Point):
    """Has a base."""

    name: str = "origin"


def test_record_takes_fields_by_name_and_fills_defaults() -> None:
    assert Point(x=1).as_dict() == {"x": 1, "y": 0}


def test_record_without_a_needed_field_is_refused() -> None:
    with pytest.raises(TypeError, match="Point needs 'x'"):
        Point(y=1)  # type: ignore[call-arg]  # that is the test


def test_record_with_an_unknown_field_is_refused() -> None:
    with pytest.raises(TypeError, match="Point has no 'z'"):
        Point(x=1, z=3)  # type: ignore[call-arg]  # that is the test


def test_record_is_frozen_and_slotted() -> None:
    point = Point(x=1)

    with pytest.raises(AttributeError, match="frozen"):
        point.x = 2  # type: ignore[misc]  # that is the test
    assert not hasattr(point, "__dict__")


def test_derived_record_has_the_fields_of_its_base_first() -> None:
    assert list(Named(x=1).as_dict()) == ["x", "y", "name"]


def test_records_are_equal_by_type_and_value() -> None:
    assert Point(x=1) == Point(x=1, y=0)
    assert Point(x=1) != Point(x=2)
    assert Point(x=1) != Named(x=1)
    assert hash(Point(x=1)) == hash(Point(x=1))


def test_replace_returns_a_changed_copy() -> None:
    point = Point(x=1, y=2)

    assert point.replace(y=3) == Point(x=1, y=3)
    assert point.y == 2


def test_repr_is_the_constructor_call() -> None:
    assert repr(Named(x=1)) == "Named(x=1, y=0, name='origin')"
