"""What a check says: findings, always with the characters they are about."""

from __future__ import annotations

from vllmlint.manifest.nodes import Node, Scalar
from vllmlint.manifest.text import Place
from vllmlint.record import record
from vllmlint.severity import Confidence, Severity

__all__ = ["Confidence", "Edit", "Finding", "Fix", "Related", "Severity", "where"]


@record
class Related:
    """A second place that belongs to a finding, with a label that says what it is."""

    place: Place
    label: str


@record
class Edit:
    """Replace the characters at `place` by `text`."""

    place: Place
    text: str


@record
class Fix:
    """A change that mends a finding; `safe` when it cannot change what already works."""

    title: str
    edits: tuple[Edit, ...]
    safe: bool


@record
class Finding:
    """One thing that is wrong, as a check reports it.

    `message` states the fact and what it leads to; `help` what to write instead; `label` the few
    words under the underline. `severity` and `confidence` default to the rule's severity and high.
    `assumptions` are what must hold for the finding to be true ("the image is the official one").
    """

    place: Place
    message: str
    help: str = ""
    label: str = ""
    severity: Severity | None = None
    confidence: Confidence = "high"
    assumptions: tuple[str, ...] = ()
    related: tuple[Related, ...] = ()
    fix: Fix | None = None


def where(about: Node | Place) -> Place:
    """The characters to underline for a node: a scalar's own text, without its quotes."""
    if isinstance(about, Place):
        return about
    if isinstance(about, Scalar):
        return about.content
    return about.place
