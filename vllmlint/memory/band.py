"""An estimate with its bounds."""

from __future__ import annotations

from collections.abc import Iterable

from vllmlint.record import record


@record
class Band:
    """An amount that lies between `low` and `high`, most likely at `mid`; `reason` says why it is not exact.

    The unit is in the name of the field that holds it.
    """

    low: float
    mid: float
    high: float
    reason: str = ""

    def scaled(self, factor: float) -> Band:
        """The band times a factor that is not negative."""
        return Band(self.low * factor, self.mid * factor, self.high * factor, self.reason)

    def plus(self, other: Band) -> Band:
        """The sum of two amounts, bounds added to bounds."""
        reasons = "; ".join(dict.fromkeys(reason for reason in (self.reason, other.reason) if reason))
        return Band(self.low + other.low, self.mid + other.mid, self.high + other.high, reasons)

    def minus(self, other: Band) -> Band:
        """What is left of this amount: the low end is what the most of the other leaves of the least."""
        reasons = "; ".join(dict.fromkeys(reason for reason in (self.reason, other.reason) if reason))
        return Band(self.low - other.high, self.mid - other.mid, self.high - other.low, reasons)


#: Nothing, for certain.
ZERO = Band(0.0, 0.0, 0.0)


def exact(amount: float) -> Band:
    """An amount without doubt."""
    return Band(amount, amount, amount)


def total(bands: Iterable[Band]) -> Band:
    """The sum of several amounts."""
    result = ZERO
    for band in bands:
        result = result.plus(band)
    return result


@record
class Term:
    """One part of a memory sum: what it is called, how much it takes, and its formula with the numbers."""

    name: str
    gib: Band
    formula: str = ""
