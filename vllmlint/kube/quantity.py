"""Kubernetes quantities: `500m`, `16Gi`, `1e3`."""

from __future__ import annotations

import re
from functools import lru_cache

# apimachinery pkg/api/resource: binary suffixes, decimal suffixes, or a decimal exponent
_QUANTITY = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))(?:([eE][+-]?\d+)|([numkMGTPE]|[KMGTPE]i)?)\Z")
_MULTIPLIERS: dict[str, int | float] = {
    "n": 1e-9,
    "u": 1e-6,
    "m": 1e-3,
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
    if exponent:
        value: int | float = float(number + exponent)
    else:
        mantissa: int | float = int(number) if number.lstrip("+-").isdigit() else float(number)
        value = mantissa * _MULTIPLIERS[suffix or ""]
        if suffix == "m" and isinstance(mantissa, int):
            value = mantissa / 1000
    return int(value) if isinstance(value, float) and value.is_integer() else value
