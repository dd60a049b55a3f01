"""The keys a contract may have at each route, and the nearest one to a name that is none of them."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Iterable
from functools import cache
from typing import Any, Union, get_args, get_origin, get_type_hints

from vllmlint.contract.settings import Contract, camel_case
from vllmlint.manifest.nodes import Step


def nearest(name: str, names: Iterable[str]) -> str | None:
    """The name most like `name`, whatever its case and its dashes and underscores."""
    import difflib  # only a contract that is wrong pays for it

    by_plain = {_plain(known): known for known in names}
    close = difflib.get_close_matches(_plain(name), by_plain, n=1, cutoff=0.65)
    return by_plain[close[0]] if close else None


def same_name(one: str, other: str) -> bool:
    """Whether two names differ only in their case, dashes and underscores."""
    return _plain(one) == _plain(other)


def suggestion(name: str, names: Iterable[str]) -> str:
    """The end of a message about an unknown name: the nearest known one, or nothing."""
    near = nearest(name, names)
    return f": did you mean `{near}`?" if near else ""


def keys_at(route: Iterable[Step]) -> tuple[str, ...]:
    """The keys a contract may have under a route; none where anything, or no mapping, may stand."""
    kind: Any = Contract
    for step in route:
        kind = _keys(kind).get(str(step)) if _has_keys(kind) else _item(kind)
        kind = _unwrapped(kind)
    return tuple(_keys(kind)) if _has_keys(kind) else ()


def sections_with(key: str) -> list[str]:
    """The top-level sections that have a key, however it is spelled, as `section.key`."""
    return [
        f"{section}.{known}"
        for section in _keys(Contract)
        for known in keys_at([section])
        if same_name(known, key)
    ]


def _has_keys(kind: Any) -> bool:
    return dataclasses.is_dataclass(kind)


@cache
def _keys(kind: Any) -> dict[str, Any]:
    return {camel_case(name): hint for name, hint in get_type_hints(kind).items()}


def _item(kind: Any) -> Any:
    """What a list or a mapping of this type holds."""
    arguments = get_args(kind)
    return {tuple: arguments[:1], dict: arguments[1:2]}.get(get_origin(kind), (None,))[0]


def _unwrapped(kind: Any) -> Any:
    """The type without `| None`."""
    if get_origin(kind) in {Union, types.UnionType}:
        return next((part for part in get_args(kind) if part is not type(None)), None)
    return kind


def _plain(name: str) -> str:
    return name.replace("-", "").replace("_", "").lower()
