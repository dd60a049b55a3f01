"""Which rules run on a file, and how loud."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Sequence
from dataclasses import field
from difflib import get_close_matches

from vllmlint.contract.globs import matches_glob
from vllmlint.contract.settings import (
    Contract,
    ObjectRules,
    PathRules,
    RuleSettings,
    SeveritySetting,
)
from vllmlint.record import mutable
from vllmlint.rulebook import Rule, all_rules, find_rule, sections
from vllmlint.severity import Severity
from vllmlint.world import ContractView

#: Rules by the kind of subject they run on.
Chosen = dict[str, list[tuple[Rule, Severity]]]


class SelectionError(Exception):
    """A selector on the command line that names no rule; the text suggests the nearest."""


def matches_rule(selector: str, rule: Rule) -> bool:
    """Whether a selector (`all`, `recommended`, a section, an id or a name) means a rule."""
    lowered = selector.lower()
    if lowered == "recommended":
        return rule.recommended
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


@mutable
class Selection:
    """The selectors of the command line; None for `select` leaves the choice to the contract.

    `today` decides which entries of a contract have expired.
    """

    select: Sequence[str] | None = None
    ignore: Sequence[str] = ()
    today: datetime.date = field(default_factory=datetime.date.today)
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
        select, ignore, severities = self._settings(view)
        chosen: Chosen = {}
        for rule in all_rules():
            severity = _severity(rule, severities)
            if rule.check and (is_mandatory(rule, view.contract) or _runs(rule, select, ignore, severity)):
                level = rule.severity if severity == "off" else severity
                chosen.setdefault(rule.subject, []).append((rule, level))
        return chosen

    def _settings(
        self, view: ContractView
    ) -> tuple[Sequence[str], Sequence[str], dict[str, SeveritySetting]]:
        """What is selected and ignored on a file, and the severities that the contract gives there."""
        settings = view.contract.rules
        select: Sequence[str] = settings.select
        severities: dict[str, SeveritySetting] = dict(settings.severity)
        for entry in settings.per_path:
            if any(matches_glob(view.relative_path, pattern) for pattern in entry.paths) and entry_holds(
                entry, settings, self.today
            ):
                select = select if entry.select is None else entry.select
                severities.update(entry.severity)
        return (
            select if self.select is None else self.select,
            (*settings.ignore, *self.ignore),
            severities,
        )

    def runs(self, rule: Rule, view: ContractView) -> bool:
        """Whether a rule runs on a file; for the rules that the engine itself reports."""
        if is_mandatory(rule, view.contract):
            return True
        select, ignore, severities = self._settings(view)
        return _runs(rule, select, ignore, _severity(rule, severities))

    def severity_of(self, rule: Rule, view: ContractView) -> Severity:
        """How loud a rule is on a file; for the rules that the engine itself reports."""
        severity = _severity(rule, self._settings(view)[2])
        return rule.severity if severity == "off" else severity


def entry_holds(entry: PathRules | ObjectRules, settings: RuleSettings, today: datetime.date) -> bool:
    """Whether an entry of `perPath` or `perObject` counts: not expired, with a reason where one is wanted."""
    expired = entry.until is not None and entry.until < today
    return not expired and not (settings.require_reason and not entry.reason)


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
