"""Label selectors: node selector requirements and label selectors of pods."""

from __future__ import annotations

from collections.abc import Mapping

from vllmlint.kube.scheduling.records import LabelSelector, NodeTerm, Pod, Requirement
from vllmlint.regex import regex

# strconv.ParseInt(…, 10, 64)
_INTEGER = regex(r"[+-]?[0-9]+\Z")
_INT64 = 2**63


def integer(text: str) -> int | None:
    """A 64-bit integer as Go reads it; None for anything else."""
    if not _INTEGER.match(text):
        return None
    value = int(text)
    return value if -_INT64 <= value < _INT64 else None


def flaw_of(one: Requirement) -> str:
    """Why a node selector requirement is refused (`labels.NewRequirement`); empty when it is not."""
    count = len(one.values)
    if one.operator in {"In", "NotIn"}:
        return "" if count else f"operator {one.operator} needs a value"
    if one.operator in {"Exists", "DoesNotExist"}:
        return f"operator {one.operator} takes no values" if count else ""
    if one.operator in {"Gt", "Lt"}:
        if count != 1:
            return f"operator {one.operator} needs exactly one value"
        return "" if integer(one.values[0]) is not None else f"{one.values[0]!r} is not an integer"
    return f"{one.operator!r} is not an operator"


def holds(one: Requirement, labels: Mapping[str, str]) -> bool:
    """Whether labels meet a requirement (`scheduling.md` 3.3); a malformed one is met by none."""
    value = labels.get(one.key)
    if one.operator == "In":
        return value is not None and value in one.values
    if one.operator == "NotIn":
        return value is None or value not in one.values
    if one.operator == "Exists":
        return value is not None
    if one.operator == "DoesNotExist":
        return value is None
    if one.operator in {"Gt", "Lt"} and value is not None and len(one.values) == 1:
        left, right = integer(value), integer(one.values[0])
        if left is None or right is None:
            return False
        return left > right if one.operator == "Gt" else left < right
    return False


def selects(selector: LabelSelector | None, labels: Mapping[str, str]) -> bool:
    """Whether a label selector matches; none at all matches nothing, an empty one everything."""
    return selector is not None and all(holds(one, labels) for one in selector.requirements)


def field_holds(one: Requirement, node_name: str) -> bool:
    """Whether a node meets a `matchFields` entry: only metadata.name, In or NotIn, one value."""
    if field_flaw(one):
        return False
    return (node_name == one.values[0]) == (one.operator == "In")


def field_flaw(one: Requirement) -> str:
    """Why a `matchFields` entry is refused; empty when it is not."""
    if one.key != "metadata.name":
        return f"{one.key!r} is no field of a node selector"
    if one.operator not in {"In", "NotIn"}:
        return f"operator {one.operator} is not for fields"
    return "" if len(one.values) == 1 else "a field needs exactly one value"


def term_flaw(term: NodeTerm) -> str:
    """Why a term cannot be parsed; a term that cannot matches no node (`scheduling.md` 3.3)."""
    flaws = [*map(flaw_of, term.expressions), *map(field_flaw, term.fields)]
    return next((flaw for flaw in flaws if flaw), "")


def term_matches(term: NodeTerm, labels: Mapping[str, str], node_name: str) -> bool:
    """Whether a node matches a term: an empty or malformed one matches none."""
    if not term.expressions and not term.fields:
        return False
    if term_flaw(term):
        return False
    if term.fields and node_name and not all(field_holds(one, node_name) for one in term.fields):
        return False
    return all(holds(one, labels) for one in term.expressions)


def node_matches(pod: Pod, labels: Mapping[str, str], node_name: str) -> bool:
    """Whether a node meets nodeSelector and required node affinity (`scheduling.md` 3.1)."""
    if any(labels.get(key) != value for key, value in pod.selector.items()):
        return False
    if pod.node_terms is None:
        return True
    return any(term_matches(term, labels, node_name) for term in pod.node_terms)
