"""A contract file to a `Contract`, or to problems at the very key or value that is wrong.

The only module of a run that loads pydantic; import it once a contract file is known to exist.
"""

from __future__ import annotations

import json
import posixpath
from collections.abc import Callable, Iterable, Iterator
from dataclasses import field
from functools import cache
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from vllmlint.contract.layers import INVALID, Layers
from vllmlint.contract.semantics import by_rule_name, contradictions
from vllmlint.contract.settings import WANTED, Contract
from vllmlint.contract.shape import keys_at, nearest, same_name, sections_with
from vllmlint.manifest.nodes import Mapping, Node, Scalar, Sequence, Step
from vllmlint.manifest.problem import Problem
from vllmlint.manifest.text import Place
from vllmlint.record import record

#: What a value should have been, by pydantic's name of the error.
_WANTED_TYPES = {
    "string_type": "a text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "dict_type": "a mapping",
    "dataclass_type": "a mapping",
    "tuple_type": "a list",
    "date_type": "a date such as 2026-12-31",
    "date_parsing": "a date such as 2026-12-31",
    "date_from_datetime_parsing": "a date such as 2026-12-31",
    "date_from_datetime_inexact": "a date such as 2026-12-31",
}
#: Errors that go away when a plain scalar is taken as it is written: `cpu: 96`, `my-rule: off`.
_AS_WRITTEN = frozenset({"string_type", "literal_error"})


@record
class LoadedContract:
    """What came of one contract file.

    `contract` is None whenever there are `problems`. Its patterns and `models[].config` paths are
    relative to the directory of `path`, also where an extended file in another directory wrote
    them. Settings of a rule are keyed by its name, also where the file used its id. `files` are
    all files that were read, this one first.
    """

    path: str
    contract: Contract | None
    problems: list[Problem] = field(default_factory=list)
    files: tuple[str, ...] = ()


def parse_contract(path: str, data: bytes, read: Callable[[str], bytes | None]) -> LoadedContract:
    """Validate a contract file.

    `path` is the file as the user named it, with `/` between its parts; `read` answers the bytes of
    a file that it extends (joined to the directory of `path`), or None when there is no such file.
    """
    layers = Layers(read)
    root = layers.load(path, data)
    files = tuple(layers.files)
    if root is None:
        return LoadedContract(path, None, layers.problems, files)
    contract, problems = _validate(root, path)
    problems = layers.problems + problems
    if contract is not None:
        problems += contradictions(contract, root)
        by_rule_name(contract)
    return LoadedContract(path, None if problems else contract, problems, files)


@cache
def contract_adapter() -> TypeAdapter[Contract]:
    """The validator of contracts, built once."""
    return TypeAdapter(Contract)


def _validate(root: Mapping, path: str) -> tuple[Contract | None, list[Problem]]:
    values = _values(root)
    _rebase_configs(root, values, path)
    errors = _errors(values)
    if isinstance(errors, list) and _take_as_written(root, values, errors):
        errors = _errors(values)
    if isinstance(errors, Contract):
        return errors, []
    return None, sorted(
        _problems(root, errors), key=lambda problem: (problem.place.source.path, problem.place.start)
    )


def _errors(values: Any) -> Contract | list[ErrorDetails]:
    # JSON, because only there strict types still take a list for a tuple and a text for a date
    try:
        return contract_adapter().validate_json(json.dumps(values), strict=True)
    except ValidationError as error:
        return error.errors(include_url=False, include_context=True, include_input=False)


def _values(node: Node) -> Any:
    """The plain data of a node; keys without a value are left out, so that a default holds."""
    if isinstance(node, Mapping):
        entries = node.entries.items()
        return {
            key: _values(value) for key, value in entries if not (isinstance(value, Scalar) and value.is_null)
        }
    if isinstance(node, Sequence):
        return [_values(item) for item in node.items]
    return node.value if isinstance(node, Scalar) else None


def _rebase_configs(root: Mapping, values: Any, path: str) -> None:
    """Make `models[].config` of an extended file relative to the directory of the contract itself."""
    here = posixpath.normpath(posixpath.dirname(path))
    models = root.sequence("models")
    for index, model in enumerate(models.items if models is not None else []):
        config = model.scalar("config")
        if config is None or config.source.path == path or posixpath.isabs(config.text):
            continue
        target = posixpath.normpath(posixpath.join(posixpath.dirname(config.source.path), config.text))
        if not posixpath.isabs(target) and not posixpath.isabs(here):
            target = posixpath.relpath(target, here)
        values["models"][index]["config"] = target


def _take_as_written(root: Mapping, values: Any, errors: Iterable[ErrorDetails]) -> bool:
    """Put the text of plain scalars where a text is wanted; whether there was any."""
    taken = False
    for error in errors:
        steps, node = _locate(root, error["loc"])
        if (
            error["type"] in _AS_WRITTEN
            and isinstance(node, Scalar)
            and not isinstance(node.value, str | None)
        ):
            holder = values
            for step in steps[:-1]:
                holder = holder[step]
            holder[steps[-1]] = node.text
            taken = True
    return taken


def _locate(root: Node, loc: Iterable[Step]) -> tuple[list[Step], Node]:
    """The route and the node that an error speaks of; steps that name a member of a union are passed over."""
    steps: list[Step] = []
    node = root
    for step in loc:
        inner = node.at(step)
        if inner is not None:
            steps.append(step)
            node = inner
    return steps, node


def _problems(root: Mapping, errors: Iterable[ErrorDetails]) -> Iterator[Problem]:
    wanted: dict[tuple[Step, ...], list[str]] = {}
    for error in errors:
        steps, node = _locate(root, error["loc"])
        if error["type"] == "unexpected_keyword_argument":
            yield _unknown_key(root, steps)
        elif error["type"] == "missing":
            yield _missing_key(root, steps, node, str(error["loc"][-1]))
        else:
            wanted.setdefault(tuple(steps), []).append(_wanted(error))
    for route, kinds in wanted.items():
        node = root.at(*route) or root
        message = (
            f"`{route_text(route)}` is {_described(node)}, but must be {' or '.join(dict.fromkeys(kinds))}"
        )
        yield Problem(INVALID, _value_place(root, route), message)


def _unknown_key(root: Mapping, steps: list[Step]) -> Problem:
    *route, last = steps
    name, known = str(last), keys_at(route)
    near, elsewhere = nearest(name, known), sections_with(name)
    if elsewhere and (near is None or not same_name(near, name)):
        hint = f": it belongs under another section, as `{elsewhere[0]}`"
    elif near:
        hint = f": did you mean `{near}`?"
    else:
        hint = f": known here are {', '.join(f'`{key}`' for key in known)}"
    return Problem(INVALID, _key_place(root, steps), f"unknown key `{name}`{hint}")


def _missing_key(root: Mapping, steps: list[Step], node: Node, name: str) -> Problem:
    place = _key_place(root, steps)
    if isinstance(node, Mapping) and steps and isinstance(steps[-1], int):
        place = next((key.content for key in node.keys.values()), node.place)
    return Problem(
        INVALID, place, f"`{route_text(steps)}` has no `{name}`", f"Add `{name}`: it has no default."
    )


def _wanted(error: ErrorDetails) -> str:
    context: dict[str, Any] = error.get("ctx") or {}
    kind = error["type"]
    if kind == "literal_error":
        return f"one of {context['expected'].replace(' or ', ', ')}".replace("'", "`")
    if kind == "string_pattern_mismatch":
        return WANTED[context["pattern"]]
    if kind == "greater_than_equal":
        return f"at least {context['ge']}"
    if kind == "greater_than":
        return f"more than {context['gt']:g}"
    return _WANTED_TYPES.get(kind, error["msg"])


def _described(node: Node) -> str:
    if isinstance(node, Scalar):
        return f"`{node.text}`" if node.text else "empty"
    return "a mapping" if isinstance(node, Mapping) else "a list"


def _value_place(root: Mapping, route: tuple[Step, ...]) -> Place:
    """A scalar's characters; a list or mapping by itself when it fits one line, else by its key."""
    node = root.at(*route) or root
    if isinstance(node, Scalar):
        return node.content
    return _key_place(root, list(route)) if "\n" in node.place.text else node.place


def _key_place(root: Mapping, steps: list[Step]) -> Place:
    """The nearest key at or above a route; for the whole file its first key."""
    for length in range(len(steps), 0, -1):
        holder, name = root.mapping(*steps[: length - 1]), steps[length - 1]
        if holder is not None and isinstance(name, str) and name in holder.keys:
            return holder.keys[name].content
    return next((key.content for key in root.keys.values()), Place(root.source, root.start, root.start))


def route_text(route: Iterable[Step]) -> str:
    """A route as people write it: `rules.perPath[0].until`."""
    text = ""
    for step in route:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text
