"""What to write for a flag or a value that another release refuses."""

from __future__ import annotations

from collections.abc import Iterator

from vllmlint.facts.replacements import renamed_keys, replacement_texts
from vllmlint.plans.upgrade_change import Sides, accepted, shown
from vllmlint.serving.arg_errors import ArgumentError
from vllmlint.serving.arg_results import Setting
from vllmlint.serving.flag_tables import FlagSpec, flag_history, flag_table


def flag_replacement(sides: Sides, error: ArgumentError, setting: Setting | None) -> str | None:
    """What replaces a flag the target does not know: a reviewed text, else what vLLM itself advises."""
    if setting is not None and setting.spec is not None:
        for text in _candidates(sides, setting, setting.spec):
            if accepted(text, sides.after):
                return text
    else:
        words = sides.after.invocation.words
        on_line = error.word is not None and 0 <= error.word < len(words)
        written = error.flag or (words[error.word].text if on_line and error.word is not None else None) or ""
        name = "--" + written.partition("=")[0].lstrip("-").replace("_", "-")
        for text in replacement_texts("flags", name, None):
            if accepted(text, sides.after):
                return text
    for flag in sides.after.arguments.unknown:
        if flag.word == error.word:
            return flag.suggestion
    history = flag_history(setting.spec.name) if setting is not None and setting.spec is not None else None
    advice = history.replacement if history is not None else None
    return advice if advice is not None and flag_table(sides.target).get(advice) is not None else None


def _candidates(sides: Sides, setting: Setting, spec: FlagSpec) -> Iterator[str]:
    """Texts for a flag that is gone, the best first."""
    value = setting.value if setting.known else None
    if spec.type == "bool" and value is False and spec.action == "optional":
        # What was switched off explicitly is gone; so is its replacement's switch.
        yield "remove it"
    yield from replacement_texts("flags", spec.name, None if value is None else shown(value))
    yield from _same_meaning(sides, setting, spec)


def refused_value_replacement(sides: Sides, error: ArgumentError, setting: Setting | None) -> str | None:
    """The same meaning in a spelling that the target takes."""
    if setting is None or error.stage != "parse" or error.kind == "exception":
        return None
    return same_meaning(sides, setting)


def same_meaning(sides: Sides, setting: Setting) -> str | None:
    """The flag's full name and the value as the source reads it, if the target takes that."""
    if setting.spec is None:
        return None
    return next(
        (text for text in _same_meaning(sides, setting, setting.spec) if accepted(text, sides.after)), None
    )


def _same_meaning(sides: Sides, setting: Setting, spec: FlagSpec) -> Iterator[str]:
    """The flag's full name with the value as the source reads it."""
    if not setting.known:
        return
    value = setting.value
    if setting.spelling.startswith("-O") and isinstance(value, dict):
        # -O means another flag from 0.12.0 on, but the level is still written so.
        yield from (f"-O{value[key]}" for key in ("level", "mode") if isinstance(value.get(key), int))
    target = flag_table(sides.target).get(spec.name)
    if target is None:
        return
    if isinstance(value, bool) and not target.takes_value:
        positive = (target.name,) if target.action != "store_false" else ()
        yield from positive if value else target.negations
        if value == target.default:
            yield "remove it"
    elif isinstance(value, dict):
        names = renamed_keys(spec.name)
        if names.keys() & value.keys():
            yield f"{target.name}={shown({names.get(key, key): each for key, each in value.items()})}"
        yield f"{target.name}={shown(value)}"
    elif isinstance(value, list):
        yield f"{target.name} {' '.join(shown(each) for each in value)}"
    elif value is not None:
        yield f"{target.name}={shown(value)}"
