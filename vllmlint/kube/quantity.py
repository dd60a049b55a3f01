"""Kubernetes quantities: `500m`, `16Gi`, `1e3`."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from vllmlint.regex import regex

if TYPE_CHECKING:
    from fractions import Fraction

# apimachinery pkg/api/resource: binary suffixes, decimal suffixes, or a decimal exponent
_QUANTITY = regex(r"([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+))(?:([eE][+-]?[0-9]+)|([numkMGTPE]|[KMGTPE]i)?)\Z")
#: A quantity beyond 64 bits is cut to them.
_LARGEST = 2**63 - 1
#: Numbers with more digits are read as floats: they are beyond 64 bits with any suffix.
_MAX_DIGITS = 40
_DIVISORS = {"n": 10**9, "u": 10**6, "m": 10**3}
_MULTIPLIERS = {
    "": 1,
    "k": 10**3,
    "M": 10**6,
    "G": 10**9,
    "T": 10**12,
    "P": 10**15,
    "E": 10**18,
    "Ki": 2**10,
    "Mi": 2**20,
    "Gi": 2**30,
    "Ti": 2**40,
    "Pi": 2**50,
    "Ei": 2**60,
}


@lru_cache(maxsize=4096)
def parse_quantity(text: str) -> int | float | None:
    """The number a quantity stands for (bytes, cores, devices); None when it is not a quantity.

    Whole results are `int`, so that byte counts stay exact. Source: Kubernetes
    apimachinery `resource.Quantity`.
    """
    match = _QUANTITY.match(text)
    if match is None:
        return None
    number, exponent, suffix = match.groups()
    value: int | float
    if exponent:
        value = float(number + exponent)
    else:
        whole = "." not in number and len(number) <= _MAX_DIGITS
        mantissa = int(number) if whole else float(number)
        # a division by the whole number is exact where a product with 0.001 is not
        divisor = _DIVISORS.get(suffix)
        value = mantissa / divisor if divisor is not None else mantissa * _MULTIPLIERS[suffix or ""]
    value = max(-_LARGEST, min(value, _LARGEST))
    return int(value) if isinstance(value, float) and value.is_integer() else value


@lru_cache(maxsize=4096)
def exact_quantity(text: str) -> int | Fraction | None:
    """The number a quantity stands for, without rounding; None when it is not a quantity.

    For sums that are compared with what a node has: a tenth of a core is a tenth, not a float near it.
    """
    match = _QUANTITY.match(text)
    if match is None or len(text) > _MAX_DIGITS + len("e+100"):
        return None
    number, exponent, suffix = match.groups()
    if exponent and abs(int(exponent[1:])) > _MAX_DIGITS:
        return None
    whole = number.isdecimal() and not exponent
    if whole and suffix not in _DIVISORS:  # nearly always: bytes and devices
        return min(int(number) * _MULTIPLIERS[suffix or ""], _LARGEST)
    from fractions import Fraction

    value: int | Fraction = int(number) if whole else Fraction(number + (exponent or ""))
    divisor = _DIVISORS.get(suffix)
    value = Fraction(value, divisor) if divisor is not None else value * _MULTIPLIERS[suffix or ""]
    value = max(-_LARGEST, min(value, _LARGEST))
    return int(value) if isinstance(value, Fraction) and value.denominator == 1 else value
