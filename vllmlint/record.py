"""Records that cost little to define: what a start-up is made of counts.

`dataclasses.dataclass` compiles an `__init__` (and, frozen, four more methods) for every class, about 0.3 ms
each time the program starts; there are some two hundred and fifty, of which one run makes objects of a
few dozen. Here `__init__` is compiled when the first object is made; equality, hash and representation are
shared, unless a class has its own. What `dataclasses` needs to know of a record (its own `replace`, `fields`,
pydantic) is worked out when it asks.
"""

from __future__ import annotations

from dataclasses import MISSING, Field, dataclass, field
from typing import Any, TypeVar, dataclass_transform

_T = TypeVar("_T")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def record(cls: type[_T]) -> type[_T]:
    """A dataclass with slots that nobody changes after it is made; the type checker holds that."""
    made = _made(cls)
    if "__eq__" not in cls.__dict__:
        made.__hash__ = _hash
    return made  # type: ignore[no-any-return]


@dataclass_transform(field_specifiers=(field,))
def mutable(cls: type[_T]) -> type[_T]:
    """A dataclass with slots that is filled as work goes on; it has no hash."""
    made = _made(cls)
    made.__hash__ = None
    return made  # type: ignore[no-any-return]


def names_of(kind: Any) -> tuple[str, ...]:
    """The names of the fields of a record, or of a class of records, in their order."""
    names: tuple[str, ...] = kind.__match_args__
    return names


def replace(one: _T, **changes: Any) -> _T:
    """A copy of a record with some fields replaced."""
    return one.__class__(**{**{name: getattr(one, name) for name in names_of(one)}, **changes})


def _made(cls: Any) -> Any:
    """The class again, with slots instead of class attributes for its fields."""
    # not inspect.get_annotations: only the class's own, and only their names
    own = tuple(cls.__dict__.get("__annotations__", ()))  # noqa: RUF063
    base_names: tuple[str, ...] = ()
    defaults: dict[str, Any] = {}
    for base in reversed(cls.__mro__[1:]):
        if "_record_defaults" in base.__dict__:
            base_names, defaults = base.__match_args__, dict(base._record_defaults)
    body = dict(cls.__dict__)
    for name in ("__dict__", "__weakref__"):
        body.pop(name, None)
    for name in own:
        if name in body:
            defaults[name] = body.pop(name)
    names = tuple(dict.fromkeys((*base_names, *own)))
    made: Any = type(cls)(
        cls.__name__,
        cls.__bases__,
        {
            "__eq__": _equal,
            "__repr__": _text,
            **body,
            "__slots__": tuple(name for name in own if name not in base_names),
            "__match_args__": names,
            "__qualname__": cls.__qualname__,
            "_record_defaults": defaults,
            "__dataclass_fields__": _FIELDS,
        },
    )
    made.__init__ = _waiting(made)
    return made


def _waiting(made: Any) -> Any:
    """An `__init__` that compiles the real one when the first object is made."""

    def first(self: Any, *args: Any, **kwargs: Any) -> None:
        made.__init__ = compiled = _compiled_init(made)
        compiled(self, *args, **kwargs)

    return first


def _compiled_init(made: Any) -> Any:
    """The `__init__` that `dataclasses` would write: fields in order, factories called each time."""
    scope: dict[str, Any] = {"_missing": MISSING}
    parameters, lines = ["self"], []
    for name in made.__match_args__:
        default = made._record_defaults.get(name, MISSING)
        value = name
        if isinstance(default, Field):
            if default.default_factory is not MISSING:
                scope[f"_new_{name}"] = default.default_factory
                value = f"_new_{name}() if {name} is _missing else {name}"
                parameters.append(f"{name}=_missing")
                lines.append(f" self.{name} = {value}")
                continue
            default = default.default
        if default is MISSING:
            parameters.append(name)
        else:
            scope[f"_default_{name}"] = default
            parameters.append(f"{name}=_default_{name}")
        lines.append(f" self.{name} = {value}")
    exec(f"def __init__({', '.join(parameters)}):\n" + "\n".join(lines or [" pass"]), scope)
    compiled = scope["__init__"]
    compiled.__qualname__ = f"{made.__qualname__}.__init__"
    return compiled


class _Fields:
    """What `dataclasses` knows of a class, made by it for a record when somebody looks."""

    def __get__(self, instance: Any, owner: Any) -> Any:
        records = [base for base in owner.__mro__ if "_record_defaults" in base.__dict__]
        made = records[0]
        hints = {name: hint for base in reversed(records) for name, hint in base.__annotations__.items()}
        body = {**made._record_defaults, "__annotations__": hints, "__module__": made.__module__}
        twin: Any = dataclass(init=False, repr=False, eq=False)(type(made.__name__, (), body))
        made.__dataclass_fields__ = twin.__dataclass_fields__
        return made.__dataclass_fields__


_FIELDS = _Fields()


def _values(self: Any) -> tuple[Any, ...]:
    return tuple([getattr(self, name) for name in self.__match_args__])


def _equal(self: Any, other: object) -> Any:
    return _values(self) == _values(other) if other.__class__ is self.__class__ else NotImplemented


def _hash(self: Any) -> int:
    return hash(_values(self))


def _text(self: Any) -> str:
    fields = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__match_args__)
    return f"{self.__class__.__name__}({fields})"
