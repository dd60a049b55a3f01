"""Which rules run on a file, and how loud."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches

from vllmlint.contract.settings import Contract, SeveritySetting, matches_glob
from vllmlint.lint.registry import Rule, all_rules, find_rule, sections
from vllmlint.severity import Severity
from vllmlint.world import ContractView

#: Rules by the kind of subject they run on.
Chosen = dict[str, list[tuple[Rule, Severity]]]


class SelectionError(Exception):
    """A selector on the command line that names no rule; the text suggests the nearest."""


def matches_rule(selector: str, rule: Rule) -> bool:
    """Whether a selector (`all`, `recommended`, a section, an id or a name) means a rule."""
    if selector == "recommended":
        return rule.recommended
    lowered = selector.lower()
    return lowered in {"all", "*", rule.section, rule.name, rule.id.lower()}


def check_selectors(selectors: Iterable[str]) -> None:
    """Raise `SelectionError` for the first selector that means nothing."""
    for selector in selectors:
        if selector.lower() in {"all", "recommended", *sections()} or find_rule(selector) is not None:
            continue
        names = [*sections(), *(rule.name for rule in all_rules())]
        near = get_close_matches(selector.lower(), names, n=1)
        hint = f": did you mean {near[0]!r}?" if near else "; `vllmlint rules` lists them"
        raise SelectionError(f"no rule or section {selector!r}{hint}")


@dataclass(slots=True)
class Selection:
    """The selectors of the command line; None for `select` leaves the choice to the contract."""

    select: Sequence[str] | None = None
    ignore: Sequence[str] = ()
    _cache: dict[tuple[int, str], Chosen] = field(default_factory=dict)

    def rules_for(self, view: ContractView) -> Chosen:
        """The rules that run on a file, by subject, with the severity that the contract gives them."""
        contract = view.contract
        # only perPath entries tell files under one contract apart
        key = (id(contract), view.relative_path if contract.rules.per_path else "")
        chosen = self._cache.get(key)
        if chosen is None:
            chosen = self._choose(view)
            self._cache[key] = chosen
        return chosen

    def _choose(self, view: ContractView) -> Chosen:
        settings = view.contract.rules
        select: Sequence[str] = settings.select
        severities: dict[str, SeveritySetting] = dict(settings.severity)
        for entry in settings.per_path:
            if any(matches_glob(view.relative_path, pattern) for pattern in entry.paths):
                select = select if entry.select is None else entry.select
                severities.update(entry.severity)
        if self.select is not None:
            select = self.select
        ignore = (*settings.ignore, *self.ignore)
        chosen: Chosen = {}
        for rule in all_rules():
            severity = _severity(rule, severities)
            if rule.check and (is_mandatory(rule, view.contract) or self._runs(rule, select, ignore, severity)):
                level = rule.severity if severity == "off" else severity
                chosen.setdefault(rule.subject, []).append((rule, level))
        return chosen

    def runs(self, rule: Rule, view: ContractView) -> bool:
        """Whether a rule runs on a file; for the rules that the engine itself reports."""
        settings = view.contract.rules
        if is_mandatory(rule, view.contract):
            return True
        select = settings.select if self.select is None else self.select
        return self._runs(rule, select, (*settings.ignore, *self.ignore), _severity(rule, settings.severity))

    @staticmethod
    def _runs(rule: Rule, select: Sequence[str], ignore: Sequence[str], severity: SeveritySetting) -> bool:
        if severity == "off" or any(matches_rule(selector, rule) for selector in ignore):
            return False
        # what the engine has to say of the input itself is not left out by naming other rules
        return rule.section == "engine" or any(matches_rule(selector, rule) for selector in select)


def is_mandatory(rule: Rule, contract: Contract) -> bool:
    """Whether the contract forbids to silence a rule."""
    return any(matches_rule(selector, rule) for selector in contract.rules.mandatory)


def _severity(rule: Rule, severities: dict[str, SeveritySetting]) -> SeveritySetting:
    for key in (rule.name, rule.id, rule.id.lower(), rule.section):
        if key in severities:
            return severities[key]
    return rule.severity
