"""What a contract of the right shape can still get wrong: names of rules and pools, and contradictions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from vllmlint.contract.layers import INVALID
from vllmlint.contract.settings import Contract
from vllmlint.contract.shape import suggestion
from vllmlint.manifest.nodes import Mapping, Node, Scalar, Sequence
from vllmlint.manifest.problem import Problem
from vllmlint.rulebook import Rule, all_rules, find_rule, sections

_OBJECT_SELECTORS = ("kind", "name", "namespace", "container", "labels")
#: What an option's value is called, by the type of its default.
_OPTION_TYPES: dict[type, tuple[tuple[type, ...], str]] = {
    bool: ((bool,), "true or false"),
    int: ((int, float), "a number"),
    float: ((int, float), "a number"),
    str: ((str,), "a text"),
    list: ((Sequence,), "a list"),
    dict: ((Mapping,), "a mapping"),
}


def by_rule_name(contract: Contract) -> None:
    """Key every setting of a rule by the rule's name: a contract may use ids just as well."""
    rules = contract.rules
    tables: list[dict[str, Any]] = [rules.options, rules.severity]
    tables += [entry.severity for entry in rules.per_path]
    tables += [entry.severity for entry in rules.per_object]
    for table in tables:
        named = {canonical(key): value for key, value in table.items()}
        table.clear()
        table.update(named)


def contradictions(contract: Contract, root: Mapping) -> list[Problem]:
    """Everything wrong with a contract that `root` says in the right shape."""
    problems = [*_unknown_pools(contract, root), *_unknown_hardware(contract, root)]
    problems += _entries_without_effect(root)
    if _has_rules():
        problems += _unknown_rules(root)
        problems += _wrong_options(root)
    if contract.rules.mandatory:
        problems += _silenced_mandatory(contract, root)
    if contract.rules.require_reason:
        problems += _missing_reasons(root)
    return problems


def _has_rules() -> bool:
    """Whether the rules' index is there: without it (a checkout not built yet) names go unchecked."""
    try:
        return bool(all_rules())
    except OSError:
        return False


def _unknown_pools(contract: Contract, root: Mapping) -> Iterator[Problem]:
    environments = root.mapping("environments")
    for name in contract.environments:
        for pool in _scalars(environments and environments.at(name, "nodePools")):
            if pool.text not in contract.node_pools:
                hint = suggestion(pool.text, contract.node_pools) or ": `nodePools` has no such pool"
                yield Problem(INVALID, pool.content, f"unknown node pool `{pool.text}`{hint}")


def _unknown_hardware(contract: Contract, root: Mapping) -> Iterator[Problem]:
    """GPUs that nobody knows and whose memory is not stated, and slices that no such card can be cut into."""
    pools = {name: pool for name, pool in contract.node_pools.items() if pool.gpu is not None}
    if not pools:
        return
    from vllmlint.hardware.gpus import find_gpu, mig_profiles, mig_slice, nearest_gpu

    for name, pool in pools.items():
        cards = find_gpu(pool.gpu or "")
        gpu, mig = (root.scalar("nodePools", name, key) for key in ("gpu", "mig"))
        if not cards and pool.gpu_memory_gib is None and gpu is not None:
            near = nearest_gpu(gpu.text)
            hint = f": did you mean `{near}`?" if near else ""
            help_text = "A GPU that vllmlint does not know needs `gpuMemoryGib` beside it."
            yield Problem(INVALID, gpu.content, f"unknown GPU `{gpu.text}`{hint}", help_text)
        if cards and pool.mig is not None and mig is not None:
            if any(mig_slice(card, pool.mig) is not None for card in cards):
                continue
            known = dict.fromkeys(profile for card in cards for profile in mig_profiles(card))
            has = f"it has {', '.join(f'`{one}`' for one in known)}" if known else "it cannot be cut"
            yield Problem(INVALID, mig.content, f"`{pool.gpu}` has no MIG profile `{mig.text}`: {has}")


def _unknown_rules(root: Mapping) -> Iterator[Problem]:
    rules = root.at("rules")
    if rules is None:
        return
    groups = ("all", *sections())
    for entry in [rules, *_entries(rules, "perPath"), *_entries(rules, "perObject")]:
        for item in _scalars(entry.at("select")):
            yield from _rule_problem(item, (*groups, "recommended"))
        for item in _scalars(entry.at("ignore")):
            yield from _rule_problem(item, groups)
        for item in _keys(entry.at("severity")):
            yield from _rule_problem(item, sections())
        yield from _named_twice(entry.at("severity"))
    for item in _scalars(rules.at("mandatory")):
        yield from _rule_problem(item, groups)
    for item in _keys(rules.at("options")):
        yield from _rule_problem(item, ())
    yield from _named_twice(rules.at("options"))


def _rule_problem(item: Scalar, groups: tuple[str, ...]) -> Iterator[Problem]:
    if item.text in groups or find_rule(item.text) is not None:
        return
    known = [*groups, *(rule.name for rule in all_rules())]
    yield Problem(INVALID, item.content, f"unknown rule `{item.text}`{suggestion(item.text, known)}")


def _named_twice(settings: Node | None) -> Iterator[Problem]:
    """Keys that are the id and the name of one rule."""
    first: dict[str, Scalar] = {}
    for key in _keys(settings):
        other = first.setdefault(canonical(key.text), key)
        if other is not key:
            message = f"`{key.text}` and `{other.text}` are one rule, set twice"
            yield Problem(
                INVALID, key.content, message, "Keep one of them.", ((other.content, "first set here"),)
            )


def _wrong_options(root: Mapping) -> Iterator[Problem]:
    options = root.mapping("rules", "options")
    for key in _keys(options):
        rule = find_rule(key.text)
        given = options.mapping(key.text) if options is not None else None
        if rule is None or given is None:
            continue
        for name in given.keys.values():
            if name.text not in rule.options:
                hint = suggestion(name.text, rule.options) or _known_options(rule)
                yield Problem(INVALID, name.content, f"rule `{rule.name}` has no option `{name.text}`{hint}")
            else:
                yield from _option_type(rule, name, given.entries[name.text])


def _known_options(rule: Rule) -> str:
    names = ", ".join(f"`{name}`" for name in rule.options)
    return f": it has {names}" if names else ": it has none"


def _option_type(rule: Rule, name: Scalar, node: Node) -> Iterator[Problem]:
    default = rule.options[name.text]
    value: Any = node.value if isinstance(node, Scalar) else node
    expected = _OPTION_TYPES.get(type(default))
    if expected is None or value is None:
        return
    classes, wanted = expected
    if not isinstance(value, classes) or (isinstance(value, bool) and bool not in classes):
        place = node.content if isinstance(node, Scalar) else name.content
        yield Problem(INVALID, place, f"option `{name.text}` of rule `{rule.name}` must be {wanted}")


def _entries_without_effect(root: Mapping) -> Iterator[Problem]:
    """Entries that silence nothing anywhere, or everything everywhere: neither can be meant."""
    for section in ("perPath", "perObject"):
        for index, entry in enumerate(_entries(root.at("rules"), section)):
            first = next((key.content for key in entry.keys.values()), entry.place)
            what = f"`rules.{section}[{index}]`"
            chosen = entry.at("select") is not None  # an empty list too: nothing runs there
            if not chosen and not any(_is_set(entry, name) for name in ("ignore", "severity")):
                wanted = (
                    "`select`, `ignore` or `severity`" if section == "perPath" else "`ignore` or `severity`"
                )
                yield Problem(INVALID, first, f"{what} changes no rule: it has no {wanted}")
            if section == "perObject" and not any(_is_set(entry, name) for name in _OBJECT_SELECTORS):
                message = f"{what} selects no object: without a selector it would hold for all of them"
                yield Problem(INVALID, first, message, "Name an object, or use `rules.ignore`.")


def _silenced_mandatory(contract: Contract, root: Mapping) -> Iterator[Problem]:
    mandatory = {canonical(item) for item in contract.rules.mandatory}
    rules = root.at("rules")
    for entry in [rules, *_entries(rules, "perPath"), *_entries(rules, "perObject")]:
        if entry is None:
            continue
        silenced = [item for item in _scalars(entry.at("ignore")) if canonical(item.text) in mandatory]
        severity = entry.mapping("severity")
        silenced += [
            key
            for key in _keys(severity)
            if canonical(key.text) in mandatory
            and severity is not None
            and severity.string(key.text) == "off"
        ]
        for item in silenced:
            message = f"`{item.text}` is in `rules.mandatory` and cannot be silenced"
            yield Problem(INVALID, item.content, message)


def canonical(key: str) -> str:
    """A rule's name for its id or name in any case; a section as it is."""
    try:
        rule = find_rule(key)
    except OSError:
        rule = None
    return rule.name if rule is not None else key


def _missing_reasons(root: Mapping) -> Iterator[Problem]:
    for section in ("perPath", "perObject"):
        for index, entry in enumerate(_entries(root.at("rules"), section)):
            severity = entry.mapping("severity")
            key = entry.key("ignore") if _is_set(entry, "ignore") else None
            if key is None and severity is not None:
                key = next((name for name in _keys(severity) if severity.string(name.text) == "off"), None)
            if key is not None and not (entry.string("reason") or "").strip():
                message = f"`rules.{section}[{index}]` has no `reason`, which `requireReason` demands"
                yield Problem(INVALID, key.content, message, "Add `reason`.")


def _entries(rules: Node | None, section: str) -> list[Mapping]:
    return [] if rules is None else list(rules.mappings(section))


def _is_set(entry: Mapping, name: str) -> bool:
    """Whether a key holds something: neither null nor an empty list or mapping."""
    node = entry.at(name)
    if isinstance(node, Sequence):
        return bool(node.items)
    return bool(node.entries) if isinstance(node, Mapping) else entry.scalar(name) is not None


def _scalars(node: Node | None) -> Iterable[Scalar]:
    return [item for item in node.items if isinstance(item, Scalar)] if isinstance(node, Sequence) else []


def _keys(node: Node | None) -> Iterable[Scalar]:
    return list(node.keys.values()) if isinstance(node, Mapping) else []
