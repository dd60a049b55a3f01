"""Flags that both releases take, and that the target reads, limits or judges differently."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from vllmlint.facts.replacements import replacement_texts
from vllmlint.plans.upgrade_change import Change, Sides, accepted, reached, shown
from vllmlint.plans.upgrade_replacements import same_meaning
from vllmlint.serving.arg_results import Setting
from vllmlint.serving.flag_tables import FlagSpec, flag_table
from vllmlint.serving.server import Server

_SIGNS = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}
#: What a flag that is not given and one that is given empty have in common.
_EMPTY: tuple[Any, ...] = (None, "", {}, [])


def value_changes(sides: Sides) -> Iterator[Change]:
    """Settings of the same words with another meaning, with limits or a deprecation that are new."""
    before = sides.before
    refused = {error.word for error in sides.after.arguments.errors}
    for setting in sides.after.arguments.settings.values():
        spec = setting.spec
        if spec is None or spec.type == "help":
            continue
        old = _same_words(before, setting) if before is not None else None
        if before is not None and (old is None or old.spec is None):
            continue
        if old is not None and refused & {*old.value_words}:
            # A value that the target leaves over is told as refused.
            continue
        old_spec = old.spec if old is not None else None
        yield from _other_meaning(sides, setting, spec, old)
        yield from _limited(sides, setting, spec, old_spec)
        if old_spec is not None:
            yield from _no_longer_known(sides, setting, spec, old_spec)
        yield from _deprecated(sides, setting, spec, old_spec)


def _same_words(before: Server, setting: Setting) -> Setting | None:
    """What the source makes of the words of a setting."""
    if setting.from_config:
        return before.arguments.settings.get(setting.name)
    for old in before.arguments.occurrences:
        if old.flag_word == setting.flag_word and old.flag_span[0] == setting.flag_span[0]:
            # Dotted parts and repetitions end up in one value: compare what counts in the end.
            return before.arguments.settings.get(old.name, old)
    return before.arguments.settings.get(setting.name)


def _other_meaning(sides: Sides, setting: Setting, spec: FlagSpec, old: Setting | None) -> Iterator[Change]:
    if old is None or old.spec is None or spec.name == "--model":
        return
    if old.value is not setting.value and not (old.known and setting.known):
        return
    renamed = old.spec.name != spec.name
    if not renamed and same_value(old.value, setting.value):
        return
    name = old.spec.name
    after = f"{spec.name}={shown(setting.value)}" if renamed else shown(setting.value)
    if not renamed and isinstance(setting.value, str) and not isinstance(old.value, str):
        after += " (a string)"
    place = sides.after.value_place(setting)
    table = flag_table(sides.target)
    if renamed and old.spelling.replace("_", "-") == name and table.get(name) is None:
        # The whole name of a flag that is gone is the beginning of another one's.
        text = f"read as {after}, which it now abbreviates"
        texts = replacement_texts("flags", name, shown(old.value))
        yield Change("flag", name, shown(old.value), text, True, next(iter(texts), None), place)
        return
    advice = None if renamed else same_meaning(sides, old)
    yield Change("flag", name, shown(old.value), f"read as {after}", False, advice, place)


def same_value(one: Any, other: Any) -> bool:
    """Whether two values mean the same although their types differ: `a` and `["a"]`, JSON and its text."""
    if one in _EMPTY and other in _EMPTY:
        return True
    if isinstance(one, bool) != isinstance(other, bool):
        return False
    if one == other or [one] == other or one == [other] or shown(one) == shown(other):
        return True
    for text, value in ((one, other), (other, one)):
        if isinstance(text, str) and isinstance(value, dict | list):
            try:
                return bool(json.loads(text) == value)
            except ValueError:
                return False
    return False


def _limited(sides: Sides, setting: Setting, spec: FlagSpec, old: FlagSpec | None) -> Iterator[Change]:
    """A value beyond a limit that the source does not have."""
    value = setting.value
    if isinstance(value, bool) or not isinstance(value, int | float):
        return
    broken = [sign for sign, bound in spec.limits.items() if not _within(value, sign, bound)]
    if not broken or (old is not None and any(not _within(value, *item) for item in old.limits.items())):
        return
    bound = spec.limits[broken[0]]
    after = f"refused: must be {_SIGNS[broken[0]]} {shown(bound)}"
    before = shown(value) if sides.before is not None else None
    yield Change("flag", spec.name, before, after, True, place=sides.after.value_place(setting))


def _within(value: float, sign: str, bound: float) -> bool:
    return {"ge": value >= bound, "gt": value > bound, "le": value <= bound, "lt": value < bound}[sign]


def _no_longer_known(sides: Sides, setting: Setting, spec: FlagSpec, old: FlagSpec) -> Iterator[Change]:
    """A quantization method, parser or backend that vLLM itself no longer has."""
    known, was = _names(spec), _names(old)
    value = setting.value
    if not isinstance(value, str) or not known or value not in was or value in known:
        return
    after = f"refused at start: {sides.target} has no {value!r} (a plugin may)"
    yield Change("flag", spec.name, value, after, True, place=sides.after.value_place(setting))


def _names(spec: FlagSpec) -> set[str]:
    """The values that vLLM itself brings, whether or not its parser insists on them."""
    return {str(each) for each in (*spec.known, *spec.choices)}


def _deprecated(sides: Sides, setting: Setting, spec: FlagSpec, old: FlagSpec | None) -> Iterator[Change]:
    """A flag, or a form of its value, that the target calls deprecated and the source does not."""
    place = sides.after.flag_place(setting)
    value = shown(setting.value) if setting.known else "accepted"
    if spec.kv and old is not None and old.type == "kv" and isinstance(setting.value, dict):
        text = f"{spec.name}={json.dumps(setting.value)}"
        yield Change("flag", spec.name, value, "deprecated form: JSON is wanted", False, text, place)
    facts = spec.deprecated
    if facts is None or (old is not None and old.deprecated is not None):
        return
    after = "deprecated"
    removal = facts.get("removal")
    if removal:
        late = " (announced; still there)" if reached(sides.target, str(removal)) else ""
        after += f", to be removed in {removal}{late}"
    if facts.get("no_effect"):
        after += ", without effect"
    texts = replacement_texts("flags", spec.name, shown(setting.value) if setting.known else None)
    advice = next((text for text in texts if accepted(text, sides.after)), facts.get("replacement"))
    yield Change("flag", spec.name, value if old is not None else None, after, False, advice, place)
