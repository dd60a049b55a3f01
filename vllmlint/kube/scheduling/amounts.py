"""Resource amounts as the scheduler counts them."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
from typing import Any

from vllmlint.kube.node import Amount
from vllmlint.kube.quantity import exact_quantity

#: Exact amounts by resource name, so that sums are rounded only once.
Exact = dict[str, Amount]
_MILLI = 1000


def scheduler_units(resource: str, amount: Amount) -> int:
    """What the scheduler counts: millicores of cpu, bytes or pieces of anything else, rounded up."""
    return ceil(amount * _MILLI) if resource == "cpu" else ceil(amount)


def quantities(data: Any) -> Exact:
    """A resource list; what is no quantity is left out."""
    found: Exact = {}
    for name, value in data.items() if isinstance(data, Mapping) else ():
        amount = None if isinstance(value, bool) else exact_quantity(str(value).strip())
        if amount is not None:
            found[str(name)] = amount
    return found


def is_extended(resource: str) -> bool:
    """Whether a name is an extended resource: prefixed, and not of kubernetes.io (v1/helper)."""
    return "/" in resource and "kubernetes.io/" not in resource and not resource.startswith("requests.")


def is_counted(resource: str) -> bool:
    """Whether the scheduler fits a name at all (framework.Resource.SetMaxResource)."""
    return (
        resource in {"cpu", "memory", "ephemeral-storage"}
        or "/" in resource
        or resource.startswith(("hugepages-", "attachable-volumes-"))
    )


def shown(resource: str, amount: int) -> str:
    """An amount in the scheduler's units as people write it: `500m`, `96`, `1.50 GiB`, `8`."""
    if resource == "cpu":
        return str(amount // _MILLI) if amount % _MILLI == 0 else f"{amount}m"
    if resource in {"memory", "ephemeral-storage"} or resource.startswith("hugepages-"):
        gib = amount / 2**30
        return f"{gib:.0f} GiB" if gib >= 10 and abs(gib - round(gib)) < 0.005 else f"{gib:.2f} GiB"
    return str(amount)
