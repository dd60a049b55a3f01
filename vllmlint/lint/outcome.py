"""From raw findings to what is shown: ignores applied, and what is wrong with the ignores themselves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase

from vllmlint.contract.globs import matches_glob
from vllmlint.contract.settings import Contract, ObjectRules, PathRules, SeveritySetting
from vllmlint.finding import Finding
from vllmlint.lint.engine import Hit, fingerprint_key, report
from vllmlint.lint.result import Reported
from vllmlint.lint.selection import Selection, entry_holds, is_mandatory, matches_rule
from vllmlint.lint.suppress import Ignore, finding_lines, read_ignores, scalar_at
from vllmlint.manifest.nodes import Scalar
from vllmlint.rulebook import Rule, all_rules, find_rule
from vllmlint.severity import CONFIDENCE_RANK, Confidence
from vllmlint.world import FileFacts, World


def apply_ignores(
    hits: Sequence[Hit], world: World, selection: Selection, *, no_ignores: bool, minimum: Confidence | None
) -> tuple[list[Reported], list[Reported]]:
    """The findings that are shown and those that are silenced, each in order of file and place."""
    by_file: dict[int, list[Hit]] = {}
    for hit in hits:
        by_file.setdefault(id(hit.facts), []).append(hit)
    shown: list[Reported] = []
    silenced: list[Reported] = []
    for facts in world.files:
        file = _FileOutcome(facts, world, selection, no_ignores)
        file.judge(by_file.get(id(facts), []))
        file.report(shown, silenced, minimum)
    return shown, silenced


class _FileOutcome:
    """The ignores of one file against its findings."""

    def __init__(self, facts: FileFacts, world: World, selection: Selection, no_ignores: bool) -> None:
        self.facts = facts
        self.world = world
        self.selection = selection
        self.view = world.contract_of(facts.file.path)
        self.contract: Contract = self.view.contract
        self.ignores = [] if no_ignores else read_ignores(facts.file, facts.objects, facts.workloads)
        self.no_ignores = no_ignores
        self.results: list[tuple[Hit, str]] = []

    def judge(self, hits: Sequence[Hit]) -> None:
        """Decide for every finding what silences it, then report on the ignores."""
        usable = [ignore for ignore in self.ignores if self._usable(ignore)]
        for hit in hits:
            self.results.append((hit, "" if self.no_ignores else self._silencer(hit, usable)))
        self._report_ignores()

    def _usable(self, ignore: Ignore) -> bool:
        expired = ignore.until is not None and ignore.until < self.world.today
        unreasoned = self.contract.rules.require_reason and not ignore.reason
        return not expired and not ignore.bad_until and not unreasoned

    def _silencer(self, hit: Hit, ignores: list[Ignore]) -> str:
        """What silences a finding, in words; empty when nothing does."""
        mandatory = is_mandatory(hit.rule, self.contract)
        place = hit.finding.place
        if place.source is self.facts.file.source and ignores:
            lines = finding_lines(place, self._scalar_around(hit))
            for ignore in ignores:
                if ignore.covers(hit.rule, place, lines):
                    ignore.used = True
                    if not mandatory:
                        what = "annotation" if ignore.scope == "object" else "comment"
                        return f"{what} on line {ignore.place.line}" + (
                            f": {ignore.reason}" if ignore.reason else ""
                        )
        if mandatory:
            return ""
        return self._contract_silencer(hit)

    def _scalar_around(self, hit: Hit) -> Scalar | None:
        start = hit.finding.place.start
        for document in self.facts.file.documents:
            if document.place.start <= start < document.place.end:
                return scalar_at(document.root, start)
        return None

    def _contract_silencer(self, hit: Hit) -> str:
        for path_entry in reversed(self.contract.rules.per_path):
            if (
                self._holds(path_entry)
                and any(matches_glob(self.view.relative_path, pattern) for pattern in path_entry.paths)
                and any(matches_rule(selector, hit.rule) for selector in path_entry.ignore)
            ):
                return "contract rules.perPath" + (f": {path_entry.reason}" if path_entry.reason else "")
        for entry in reversed(self.contract.rules.per_object):
            if not self._holds(entry) or not _matches_object(entry, hit):
                continue
            if any(matches_rule(selector, hit.rule) for selector in entry.ignore):
                return "contract rules.perObject" + (f": {entry.reason}" if entry.reason else "")
            severity = _object_severity(entry, hit)
            if severity == "off":
                return "contract rules.perObject: severity off"
            if severity is not None:
                hit.severity = severity
                break
        return ""

    def _holds(self, entry: PathRules | ObjectRules) -> bool:
        return entry_holds(entry, self.contract.rules, self.world.today)

    def _report_ignores(self) -> None:
        for ignore in self.ignores:
            problem = self._problem_of(ignore)
            if problem is None:
                continue
            name, message, help_text = problem
            rule = find_rule(name)
            if rule is not None and self.selection.runs(rule, self.view):
                finding = Finding(ignore.place, message, help_text)
                severity = self.selection.severity_of(rule, self.view)
                self.results.append((Hit(rule, finding, self.facts.file, self.facts, severity), ""))

    def _is_to_be_used(self, ignore: Ignore, rule: Rule | None) -> bool:
        """Whether this run would have found what the ignore is for."""
        if rule is None:
            runs = self.selection.select is None and not self.selection.ignore
        else:
            runs = self.selection.runs(rule, self.view)
        return runs and not ignore.speaks_of_unread

    def _problem_of(self, ignore: Ignore) -> tuple[str, str, str] | None:
        """The rule of section 0 that an ignore breaks, with its message and help."""
        rule = ignore.known_rule
        if rule is None and ignore.rule not in {"*", "all"}:
            names = [known.name for known in all_rules()]
            near = get_close_matches(ignore.rule, names, n=1)
            named = f"no rule is called {ignore.rule!r}" if ignore.rule else "the ignore names no rule"
            return (
                "ignore-unknown-rule",
                f"{named}: nothing is ignored",
                f"Write `{near[0]}`."
                if near
                else "Write the name in brackets: `# vllmlint: ignore[rule-name] reason`.",
            )
        if ignore.bad_until:
            return (
                "ignore-expired",
                f"until={ignore.bad_until} is no date: nothing is ignored",
                "Write the date as until=2027-01-31.",
            )
        if ignore.until is not None and ignore.until < self.world.today:
            return (
                "ignore-expired",
                f"this ignore of {ignore.rule} ended on {ignore.until.isoformat()}:"
                " the finding is shown again",
                "Mend the cause, or give the ignore a new date and say why.",
            )
        if self.contract.rules.require_reason and not ignore.reason:
            return (
                "ignore-without-reason",
                f"the contract wants a reason for every ignore: this one of {ignore.rule} has none"
                " and is not applied",
                "Say why behind the bracket: `# vllmlint: ignore[rule-name] reason`.",
            )
        if rule is not None and ignore.used and is_mandatory(rule, self.contract):
            return (
                "ignore-not-allowed",
                f"the contract makes {rule.name} mandatory: this ignore is not applied",
                "Mend the finding; the contract's owner may take the rule off rules.mandatory.",
            )
        if not ignore.used and self._is_to_be_used(ignore, rule):
            return (
                "ignore-unused",
                f"no finding of {ignore.rule} is left here: the ignore hides nothing,"
                " and would hide the next one",
                "Remove it.",
            )
        return None

    def report(self, shown: list[Reported], silenced: list[Reported], minimum: Confidence | None) -> None:
        """Put the results into reporting shape."""
        self.results.sort(
            key=lambda pair: (pair[0].finding.place.start, pair[0].rule.id, pair[0].finding.place.end)
        )
        lowest = CONFIDENCE_RANK[minimum or self.contract.min_confidence]
        occurrences: Counter[tuple[str, ...]] = Counter()
        for hit, silencer in self.results:
            key = fingerprint_key(hit)
            occurrence = occurrences[key]
            occurrences[key] += 1
            if CONFIDENCE_RANK[hit.finding.confidence] < lowest:
                continue
            (silenced if silencer else shown).append(report(hit, self.world, occurrence, silencer))


def _matches_object(entry: ObjectRules, hit: Hit) -> bool:
    obj = hit.object
    if obj is None:
        return False
    container = hit.container
    wanted = ((entry.kind, obj.kind), (entry.name, obj.name), (entry.namespace, obj.namespace))
    if any(pattern is not None and not fnmatchcase(actual, pattern) for pattern, actual in wanted):
        return False
    if entry.container is not None and (
        container is None or not fnmatchcase(container.name, entry.container)
    ):
        return False
    return all(fnmatchcase(obj.labels.get(key, "\0"), value) for key, value in entry.labels.items())


def _object_severity(entry: ObjectRules, hit: Hit) -> SeveritySetting | None:
    for key in (hit.rule.name, hit.rule.id, hit.rule.section):
        if key in entry.severity:
            return entry.severity[key]
    return None
