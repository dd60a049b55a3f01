"""Records: what `dataclasses` would have made, put off until it is wanted."""

from __future__ import annotations

import dataclasses
import importlib
import pickle
import pkgutil
from dataclasses import field
from typing import Any

import pytest

import vllmlint
from vllmlint.record import mutable, names_of, record, replace


@record
class Base:
    """A record."""

    one: int
    two: str = "two"
    many: tuple[int, ...] = ()


@record
class Derived(Base):
    """A record with a field more."""

    own: dict[str, int] = field(default_factory=dict)


@mutable
class Filled:
    """A mutable one."""

    items: list[int] = field(default_factory=list)
    used: bool = field(default=False)


def test_fields_come_in_order_by_position_and_by_name() -> None:
    assert Base(1, "x", (3,)) == Base(one=1, many=(3,), two="x")
    assert (Base(1).one, Base(1).two, Base(1).many) == (1, "two", ())
    assert names_of(Derived) == ("one", "two", "many", "own")
    assert Derived(1, own={"a": 1}).own == {"a": 1}


@pytest.mark.parametrize(("arguments", "named"), [((), {}), ((1, "x", (), 4), {}), ((1,), {"three": 3})])
def test_arguments_that_a_dataclass_refuses(arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
    for _ in range(2):  # the first call compiles, the second does not
        with pytest.raises(TypeError):
            Base(*arguments, **named)


def test_factories_are_called_for_every_object() -> None:
    one, other = Filled(), Filled()
    one.items.append(1)
    one.used = True
    assert (other.items, other.used) == ([], False)


def test_equality_hash_and_text_are_those_of_the_values() -> None:
    assert Base(1) == Base(1)
    assert hash(Base(1)) == hash(Base(1))
    assert Base(1) != Base(2)
    assert Base(1) != Derived(1)
    assert repr(Base(1)) == "Base(one=1, two='two', many=())"
    with pytest.raises(TypeError, match="unhashable"):
        hash(Filled())


def test_there_is_no_room_for_other_attributes() -> None:
    with pytest.raises(AttributeError):
        Base(1).three = 3  # type: ignore[attr-defined]


def test_replace_and_pickle_keep_the_class() -> None:
    assert replace(Derived(1), two="x") == Derived(1, "x")
    assert dataclasses.replace(Base(1), one=2) == Base(2)
    assert pickle.loads(pickle.dumps(Derived(1, own={"a": 2}))) == Derived(1, own={"a": 2})
    assert [each.name for each in dataclasses.fields(Derived)] == ["one", "two", "many", "own"]


def test_a_class_keeps_its_own_equality() -> None:
    @record
    class Folded:
        text: str

        def __eq__(self, other: object) -> bool:
            return isinstance(other, Folded) and self.text.lower() == other.text.lower()

        def __hash__(self) -> int:
            return hash(self.text.lower())

    assert Folded("A") == Folded("a")
    assert len({Folded("A"), Folded("a")}) == 1


def test_every_record_is_one_that_dataclasses_accepts() -> None:
    checked = 0
    for module in pkgutil.walk_packages(vllmlint.__path__, "vllmlint."):
        if module.name.endswith("__main__"):
            continue
        for kind in vars(importlib.import_module(module.name)).values():
            if isinstance(kind, type) and "_record_defaults" in vars(kind):
                assert tuple(each.name for each in dataclasses.fields(kind)) == names_of(kind)
                checked += 1
    assert checked > 100
