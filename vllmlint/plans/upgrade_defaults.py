"""Defaults that differ between two releases, for flags that a server does not set."""

from __future__ import annotations

from collections.abc import Iterator

from vllmlint.facts.default_changes import (
    DerivedDefault,
    FlagDefault,
    derived_defaults,
    flag_defaults,
    gpu_tier,
    tier_name,
)
from vllmlint.manifest.nodes import Mapping, Node, Scalar
from vllmlint.manifest.nodes import Sequence as SequenceNode
from vllmlint.plans.upgrade_change import Change, Sides, accepted, reached, shown
from vllmlint.plans.upgrade_flag_values import same_value
from vllmlint.serving.flag_tables import FlagSpec, flag_table
from vllmlint.serving.release import Release
from vllmlint.serving.server import Server
from vllmlint.world import World


def default_changes(sides: Sides, world: World, *, all_defaults: bool = False) -> Iterator[Change]:
    """Defaults that matter and are not set; every difference of the parsers' tables with `all_defaults`."""
    if sides.before is None or not sides.after.arguments_known:
        return
    yield from _of_parser(sides, all_defaults)
    for fact in derived_defaults():
        if not _decided(sides, fact):
            yield from _derived(sides, fact, world)


def _of_parser(sides: Sides, all_defaults: bool) -> Iterator[Change]:
    if sides.source is None or sides.before is None:
        return
    old, new = flag_table(sides.source), flag_table(sides.target)
    reviewed = flag_defaults()
    # What is decided later is told by its fact, not by the parser's table.
    told = {f"--{fact.name}" for fact in derived_defaults()} | {"--model"}
    names = new.names if all_defaults else tuple(reviewed)
    for name in names:
        if name in told or name not in old.names or name not in new.names:
            continue
        was, now = old.spec(name), new.spec(name)
        given = {was.key, now.key} & {*sides.before.arguments.settings, *sides.after.arguments.settings}
        if given or _same_default(was, now):
            continue
        fact = reviewed.get(name, FlagDefault(name))
        texts = [fact.unset if each.default is None else shown(each.default) for each in (was, now)]
        value = None if was.default is None or isinstance(was.default, bool) else shown(was.default)
        keep = fact.keep or (f"{name}={value}" if value is not None else "")
        yield Change(
            "default", name, texts[0], texts[1], replacement=_kept(keep, sides), note=fact.note or None
        )


def _kept(text: str, sides: Sides) -> str | None:
    """What to write for the old default, if the target takes it."""
    return text if text and accepted(text, sides.after) else None


def _same_default(was: FlagSpec, now: FlagSpec) -> bool:
    return was.default_dynamic or now.default_dynamic or same_value(was.default, now.default)


def _decided(sides: Sides, fact: DerivedDefault) -> bool:
    """Whether the server decides it itself, or it does not concern the server."""
    after, before = sides.after, sides.before
    settings = {*after.arguments.settings, *(before.arguments.settings if before is not None else ())}
    if any(name in settings or name in after.env for name in fact.unless):
        return True
    if fact.when is not None:
        size = after.integer(fact.when)
        return size is not None and size <= 1
    kinds = {gpu.accelerator.kind for gpu in after.gpus}
    return bool(fact.kinds and kinds) and not kinds & set(fact.kinds)


def _derived(sides: Sides, fact: DerivedDefault, world: World) -> Iterator[Change]:
    if sides.source is None:
        return
    was, now = _step(fact, sides.source), _step(fact, sides.target)
    if was == now:
        return
    # A flag is named with its dashes, anything else in words.
    name = f"--{fact.name}" if flag_table(sides.target).get(fact.name) is not None else fact.name
    note = fact.note or None
    if isinstance(was, str) and isinstance(now, str):
        yield Change("default", name, was, now, replacement=_kept(fact.keep, sides), note=note)
        return
    if not isinstance(was, dict) or not isinstance(now, dict):
        return
    known = tier_of(sides.after, world)
    if known is not None:
        if was[known] != now[known]:
            keep = _kept(f"{name}={was[known]}" if was[known].isdigit() else "", sides)
            note = f"on {tier_name(known)}"
            yield Change("default", name, was[known], now[known], replacement=keep, note=note)
        return
    differing = [tier for tier in now if was[tier] != now[tier]]
    if len(differing) == len(now) and len({*was.values()}) == len({*now.values()}) == 1:
        yield Change("default", name, was["small"], now["small"], note=note)
        return
    texts = ["; ".join(f"{each[tier]} on {tier_name(tier)}" for tier in differing) for each in (was, now)]
    yield Change("default", name, texts[0], texts[1], note="by GPU, which the manifest does not tell")


def _step(fact: DerivedDefault, release: Release) -> str | dict[str, str]:
    """The value that holds in a release."""
    return [value for since, value in fact.steps if reached(release, since)][-1]


def tier_of(server: Server, world: World) -> str | None:
    """The class of GPU that the node selector, the affinity or the contract's only pool names."""
    spec = server.workload.spec
    texts = [*_texts(spec.at("nodeSelector")), *_texts(spec.at("affinity", "nodeAffinity"))]
    tiers = {tier for text in texts if (tier := gpu_tier(text)) is not None}
    if not tiers:
        pools = world.contract(server.object).node_pools.values()
        tiers = {tier for pool in pools if pool.gpu and (tier := gpu_tier(pool.gpu)) is not None}
    return tiers.pop() if len(tiers) == 1 else None


def _texts(node: Node | None) -> Iterator[str]:
    if isinstance(node, Scalar):
        yield node.text
    elif isinstance(node, Mapping):
        for child in node.entries.values():
            yield from _texts(child)
    elif isinstance(node, SequenceNode):
        for item in node.items:
            yield from _texts(item)
