"""Small turns of phrase; every room may use them."""

from __future__ import annotations


def plural(count: int, noun: str, ending: str = "s") -> str:
    """A count with its noun: `1 GPU`, `4 GPUs`, `2 processes`."""
    return f"{count} {noun}{'' if count == 1 else ending}"
