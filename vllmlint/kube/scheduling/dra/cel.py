"""CEL selectors of device classes and requests, evaluated on a device (`scheduling.md` 7.4)."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from vllmlint.kube.scheduling.dra import cel_values as values
from vllmlint.kube.scheduling.dra.cel_rewrite import plain as plain_cel
from vllmlint.kube.scheduling.dra.objects import Device, DraError, amount
from vllmlint.regex import regex

#: What the evaluator's grammar lacks: optional fields and elements, and names in backticks.
_BEYOND = regex(r"\.\?|[\[{,]\s*\?|`")


class CelUnknownError(Exception):
    """An expression that this evaluator cannot judge: it uses a part of CEL that is not implemented here."""


def matches(expression: str, device: Device) -> bool:
    """Whether a device meets a selector.

    Raises DraError where the scheduler would abort (a missing attribute is read, the result is no boolean)
    and CelUnknownError where the expression is beyond the evaluator, or that is not installed.
    """
    try:
        import celpy
    except ImportError:  # its regular expressions have no wheel for every platform (musl)
        raise CelUnknownError(f"{expression}: needs cel-python (pip install cel-python)") from None

    program = _program(expression)
    try:
        result = program.evaluate({"device": _device(device)})
    except celpy.evaluation.CELEvalError as error:
        text = str(error.args[0] if error.args else error).partition(" (in activation")[0]
        if "undeclared reference" in text or "unbound function" in text or "undefined" in text:
            raise CelUnknownError(f"{expression}: {text}") from None
        raise DraError(f"CEL runtime error: {text}") from None
    if not isinstance(result, celpy.celtypes.BoolType | bool):
        raise DraError(f"CEL compile error: must evaluate to bool: {expression}")
    return bool(result)


@cache
def _program(expression: str) -> Any:
    import celpy

    try:
        environment = celpy.Environment()
        return environment.program(environment.compile(plain_cel(expression)), functions=dict(_functions()))
    except celpy.celparser.CELParseError as error:
        detail = str(error.args[0]).partition("\n")[0]
        if _BEYOND.search(expression):
            raise CelUnknownError(f"cannot read the expression: {detail}") from None
        raise DraError(f"CEL compile error: {expression}") from None


def _device(device: Device) -> Any:
    from celpy import celtypes

    plain = celtypes.MapType
    attributes: dict[str, Any] = {}
    for name, (kind, value) in device.attributes.items():
        domain, key = _qualified(name, device.driver)
        attributes.setdefault(domain, plain())[celtypes.StringType(key)] = _attribute(kind, value)
    capacity: dict[str, Any] = {}
    for name, one in device.capacity.items():
        domain, key = _qualified(name, device.driver)
        capacity.setdefault(domain, plain())[celtypes.StringType(key)] = values.Quantity(amount(one))
    known = {
        "driver": celtypes.StringType(device.driver),
        "allowMultipleAllocations": celtypes.BoolType(device.shareable),
        "attributes": _domains(attributes),
        "capacity": _domains(capacity),
    }
    return plain({celtypes.StringType(name): one for name, one in known.items()})


def _qualified(name: str, driver: str) -> tuple[str, str]:
    """Domain and id of an attribute; without a domain it is the driver's."""
    domain, slash, key = name.partition("/")
    return (domain, key) if slash else (driver, name)


def _attribute(kind: str, value: Any) -> Any:
    from celpy import celtypes

    if kind == "version":
        try:
            return values.semver(str(value))
        except ValueError as error:
            raise DraError(f"parse semantic version: {error}") from None
    made: dict[str, Callable[[Any], Any]] = {
        "string": celtypes.StringType,
        "int": celtypes.IntType,
        "bool": celtypes.BoolType,
    }
    return made[kind](value)


def _domains(found: dict[str, Any]) -> Any:
    """A map that has an empty map for every domain that is not there."""
    from celpy import celtypes

    result = _default_map()()
    for domain, entries in found.items():
        result[celtypes.StringType(domain)] = entries
    return result


@cache
def _default_map() -> Any:
    from celpy import celtypes

    class Domains(celtypes.MapType):
        """A map of domains."""

        def __missing__(self, key: Any) -> Any:
            return celtypes.MapType()

    return Domains


@cache
def _functions() -> dict[str, Any]:
    """The functions of Kubernetes, and equality between types (cel-go: of two types nothing is equal)."""
    from celpy import celtypes

    integer, boolean = celtypes.IntType, celtypes.BoolType

    def equal(one: Any, other: Any) -> Any:
        if isinstance(one, Exception):
            return one
        if isinstance(other, Exception):
            return other
        try:
            return boolean(one == other)
        except TypeError:
            # numbers of two types are compared by what they amount to
            pair = all(
                isinstance(each, integer | celtypes.UintType | celtypes.DoubleType) for each in (one, other)
            )
            return boolean(pair and float(one) == float(other))

    def differ(one: Any, other: Any) -> Any:
        same = equal(one, other)
        return same if isinstance(same, Exception) else boolean(not same)

    def is_a(check: Callable[[str], Any]) -> Callable[..., Any]:
        def answer(one: Any, *more: Any) -> Any:
            try:
                check(str(one), *map(bool, more))
            except ValueError:
                return boolean(False)
            return boolean(True)

        return answer

    return {
        "_==_": equal,
        "_!=_": differ,
        "quantity": lambda one: values.quantity(str(one)),
        "isQuantity": is_a(values.quantity),
        "semver": lambda one, *normal: values.semver(str(one), *map(bool, normal)),
        "isSemver": is_a(values.semver),
        "compareTo": lambda one, other: integer(values.compare(one, other)),
        "isGreaterThan": lambda one, other: boolean(values.compare(one, other) > 0),
        "isLessThan": lambda one, other: boolean(values.compare(one, other) < 0),
        "asInteger": lambda one: integer(values.as_integer(one)),
        "isInteger": lambda one: boolean(values.whole(one)),
        "asApproximateFloat": lambda one: celtypes.DoubleType(float(one.amount)),
        "sign": lambda one: integer(values.sign(one)),
        "add": values.add,
        "sub": values.sub,
        "major": lambda one: integer(one.numbers[0]),
        "minor": lambda one: integer(one.numbers[1]),
        "patch": lambda one: integer(one.numbers[2]),
        **_text_functions(),
    }


def _text_functions() -> dict[str, Any]:
    """The functions of texts (Kubernetes and cel-go's strings extension)."""
    from celpy import celtypes

    integer, text = celtypes.IntType, celtypes.StringType
    return {
        "lowerAscii": lambda one: text(one.lower()),
        "upperAscii": lambda one: text(one.upper()),
        "trim": lambda one: text(one.strip()),
        "replace": lambda one, old, new, *limit: text(str(one).replace(str(old), str(new), *map(int, limit))),
        "split": lambda one, mark, *limit: celtypes.ListType(
            [text(part) for part in str(one).split(str(mark))]
        ),
        "substring": lambda one, start, *end: text(str(one)[int(start) : int(end[0]) if end else None]),
        "indexOf": lambda one, part: integer(str(one).find(str(part))),
        "lastIndexOf": lambda one, part: integer(str(one).rfind(str(part))),
        "find": lambda one, pattern: text(_found(one, pattern, 1)[0] if _found(one, pattern, 1) else ""),
        "findAll": lambda one, pattern, *limit: celtypes.ListType(
            [text(part) for part in _found(one, pattern, int(limit[0]) if limit else -1)]
        ),
        "charAt": lambda one, at: text(str(one)[int(at)]),
    }


def _found(text: Any, pattern: Any, limit: int) -> list[str]:
    """What a regular expression (RE2's) finds in a text, at most `limit` times (below 0: all)."""
    import re2

    found = [match.group(0) for match in re2.finditer(str(pattern), str(text))]
    return found if limit < 0 else found[:limit]
