"""Exact resource amounts: quantities as whole nano units, requests as the scheduler counts them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

_NANOS = 10**9
#: A quantity beyond 64 bits is cut to them (apimachinery resource.Quantity).
_LARGEST = (2**63 - 1) * _NANOS
_QUANTITY = re.compile(r"([+-]?)([0-9]*)(?:\.([0-9]*))?(?:[eE]([+-]?[0-9]{1,3})|([numkMGTPE]|[KMGTPE]i)?)\Z")
_SUFFIXES = {
    "n": (1, 10**9),
    "u": (1, 10**6),
    "m": (1, 10**3),
    "": (1, 1),
    **{suffix: (10 ** (3 * power), 1) for power, suffix in enumerate("kMGTPE", 1)},
    **{suffix: (2 ** (10 * power), 1) for power, suffix in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi", "Ei"), 1)},
}

#: Amounts by resource name, in nano units: exact, so that sums are rounded only once.
Nanos = dict[str, int]


@lru_cache(maxsize=8192)
def nanos(text: str) -> int | None:
    """A quantity in nano units, fractions of one rounded up; None when it is no quantity."""
    match = _QUANTITY.match(text)
    if match is None:
        return None
    sign, whole, fraction, exponent, suffix = match.groups()
    digits = (whole or "") + (fraction or "")
    if not digits:
        return None
    numerator, denominator = int(digits), 10 ** len(fraction or "")
    if exponent is not None:
        power = int(exponent)
        numerator, denominator = numerator * 10 ** max(power, 0), denominator * 10 ** max(-power, 0)
    else:
        up, down = _SUFFIXES[suffix or ""]
        numerator, denominator = numerator * up, denominator * down
    amount = min(_ceil_div(numerator * _NANOS, denominator), _LARGEST)
    return -amount if sign == "-" else amount


def _ceil_div(numerator: int, denominator: int) -> int:
    return -(-numerator // denominator)


def scheduler_units(resource: str, amount_nanos: int) -> int:
    """What the scheduler counts: millicores of cpu, bytes or pieces of anything else, rounded up."""
    return _ceil_div(amount_nanos, 10**6 if resource == "cpu" else _NANOS)


def quantities(data: Any) -> tuple[Nanos, tuple[str, ...]]:
    """A resource list in nano units, and the names whose quantity cannot be read."""
    found: Nanos = {}
    unread: list[str] = []
    for name, value in data.items() if isinstance(data, Mapping) else ():
        amount = None if isinstance(value, bool) else nanos(str(value).strip())
        if amount is None:
            unread.append(str(name))
        else:
            found[str(name)] = amount
    return found, tuple(unread)


def amounts(data: Any) -> dict[str, int]:
    """A resource list in the scheduler's units; unreadable quantities are left out."""
    return {name: scheduler_units(name, amount) for name, amount in quantities(data)[0].items()}


def is_extended(resource: str) -> bool:
    """Whether a name is an extended resource: prefixed, and not of kubernetes.io (v1/helper)."""
    if "/" not in resource or "kubernetes.io/" in resource or resource.startswith("requests."):
        return False
    return not resource.startswith("hugepages-")


def shown(resource: str, amount: int) -> str:
    """An amount in the scheduler's units as people write it: `500m`, `96`, `1.5 GiB`, `8`."""
    if resource == "cpu":
        return str(amount // 1000) if amount % 1000 == 0 else f"{amount}m"
    if resource in {"memory", "ephemeral-storage"} or resource.startswith("hugepages-"):
        gib = amount / 2**30
        return f"{gib:.0f} GiB" if gib >= 10 and abs(gib - round(gib)) < 0.005 else f"{gib:.2f} GiB"
    return str(amount)
