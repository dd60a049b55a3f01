"""The values that Kubernetes adds to CEL: quantities and versions (apiserver pkg/cel)."""

from __future__ import annotations

from fractions import Fraction
from math import ceil
from typing import Any

from vllmlint.kube.node import Amount
from vllmlint.kube.quantity import exact_quantity
from vllmlint.regex import regex

_SEMVER = regex(
    r"(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?\Z"
)


class Quantity:
    """A quantity; as in CEL, `<` is not for it: `compareTo`, `isLessThan`, `isGreaterThan` are."""

    def __init__(self, amount: Amount) -> None:
        self.amount = amount

    def key(self) -> tuple[Any, ...]:
        """What it compares by."""
        return (self.amount,)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Quantity) and self.amount == other.amount

    def __hash__(self) -> int:
        return hash(self.amount)


class Version:
    """A semantic version; compares as semver.org 2.0.0 says, build metadata aside."""

    def __init__(self, text: str) -> None:
        match = _SEMVER.match(text)
        if match is None:
            raise ValueError(f"{text!r} is not a semantic version")
        self.numbers = tuple(int(match[part]) for part in (1, 2, 3))
        # numbers are below words, a release is above its pre-releases
        parts = match[4].split(".") if match[4] else None
        self.pre = (
            (1,)
            if parts is None
            else (0, *((0, int(one), "") if one.isdigit() else (1, 0, one) for one in parts))
        )

    def key(self) -> tuple[Any, ...]:
        """What it compares by."""
        return self.numbers, self.pre

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Version) and self.key() == other.key()

    def __hash__(self) -> int:
        return hash(self.key())


def quantity(text: str) -> Quantity:
    """The `quantity` function; raises ValueError for what is no quantity."""
    amount = exact_quantity(text)
    if amount is None:
        raise ValueError(f"{text!r} is not a quantity")
    return Quantity(amount)


def semver(text: str, normalize: bool = False) -> Version:
    """The `semver` function; `normalize` drops a `v`, leading zeros, and fills in missing parts."""
    if normalize:
        body, dash, rest = text.removeprefix("v").removeprefix("V").partition("-")
        parts = [part.lstrip("0") or "0" for part in body.split(".")]
        text = ".".join([*parts, "0", "0"][: max(3, len(parts))]) + dash + rest
    return Version(text)


def compare(one: Quantity | Version, other: Quantity | Version) -> int:
    """-1, 0 or 1."""
    if type(one) is not type(other):
        raise TypeError("no such overload")
    return (one.key() > other.key()) - (one.key() < other.key())


def add(one: Quantity, other: Quantity | int) -> Quantity:
    """The sum of quantities, or of one and a whole number."""
    return Quantity(one.amount + (other.amount if isinstance(other, Quantity) else int(other)))


def sub(one: Quantity, other: Quantity | int) -> Quantity:
    """The difference of quantities, or of one and a whole number."""
    return Quantity(one.amount - (other.amount if isinstance(other, Quantity) else int(other)))


def as_integer(one: Quantity) -> int:
    """The amount as a whole number; raises ValueError where it is none."""
    if isinstance(one.amount, Fraction):
        raise ValueError("cannot convert value to integer")
    return one.amount


def sign(one: Quantity) -> int:
    """-1, 0 or 1."""
    return (one.amount > 0) - (one.amount < 0)


def whole(one: Quantity) -> bool:
    """Whether the amount is a whole number."""
    return ceil(one.amount) == one.amount
