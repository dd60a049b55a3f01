"""Section args: methods that a release does not have, and defaults that another release changed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from difflib import get_close_matches

from vllmlint.checks._args import REFUSED, Judgement, judgement
from vllmlint.checks._methods import METHOD_FLAGS, MethodLife, as_listed, method_life, method_names
from vllmlint.facts.images import is_official
from vllmlint.facts.methods import gated_methods, method_advice
from vllmlint.finding import Edit, Finding, Fix
from vllmlint.plans.upgrade_change import sides_of
from vllmlint.plans.upgrade_defaults import default_changes
from vllmlint.serving.arg_results import Setting
from vllmlint.serving.flag_tables import flag_table
from vllmlint.serving.release import Release
from vllmlint.serving.server import Server
from vllmlint.world import World

_NO_PLUGIN = "no plugin in the image brings it"
#: Flags that load a parser of one's own.
_PLUGINS = {"--tool-call-parser": "tool_parser_plugin", "--reasoning-parser": "reasoning_parser_plugin"}


def method_removed_in_release(server: Server, world: World) -> Iterator[Finding]:
    """A quantization method, parser or backend that this release does not have."""
    for flag in METHOD_FLAGS:
        spec = flag_table(server.release).get(flag)
        setting = server.arguments.settings.get(spec.key) if spec is not None else None
        value = _written(setting, server)
        if spec is None or setting is None or value is None:
            continue
        if flag == "--tool-call-parser" and not server.is_set("enable_auto_tool_choice"):
            # vLLM looks the parser up only beside --enable-auto-tool-choice
            continue
        life = method_life(flag, value, server.release)
        if life is not None:
            yield _not_there(setting, value, life, server)
        elif method_names(spec) and as_listed(flag, value) not in method_names(spec) and not spec.choices:
            yield from _never_there(setting, value, server)
        yield from _gated(setting, value, server)


def _written(setting: Setting | None, server: Server) -> str | None:
    """The text of a value, also of one that the parser refuses; None when it is not known, or a plugin's."""
    if setting is None or setting.spec is None or not setting.certain or setting.dotted:
        return None
    value = setting.value
    if not isinstance(value, str):
        if setting.from_config or len(setting.value_words) != 1 or setting.value_span is None:
            return None
        text = server.invocation.words[setting.value_words[0]].text or ""
        value = text[slice(*setting.value_span)]
    plugin = _PLUGINS.get(setting.spec.name)
    if plugin is not None and plugin in server.arguments.settings:
        return None
    # a path of a class, or a text that somebody has still to fill in
    if value in {"", "None"} or any(sign in value for sign in "./:${<\0 "):
        return None
    return value


def _not_there(setting: Setting, value: str, life: MethodLife, server: Server) -> Finding:
    flag = setting.spec.name if setting.spec is not None else setting.spelling
    instead, action = method_advice(flag, value)
    spec = flag_table(server.release).get(flag)
    if instead is not None and (spec is None or instead not in method_names(spec)):
        instead = None
    if life.removed_in is not None:
        fact, label = f"which was removed in {life.removed_in}", f"removed in {life.removed_in}"
        advice = action or f"Choose one of {_some(server, flag, value)}, or keep an older image."
    else:
        fact, label = f"which came with {life.added_in}", f"needs {life.added_in}"
        advice = f"Use an image with vLLM {life.added_in} or a later release."
    fix = None
    place = server.value_place(setting)
    if instead is not None:
        advice = f"Write `{flag}={instead}`."
        fix = Fix(f"write {instead}", (Edit(place, instead),), safe=False) if place.text == value else None
    judged = judgement(server)
    assumptions = judged.assumptions
    if not _is_plain(server):
        judged, assumptions = judged.less_sure(), (*assumptions, _NO_PLUGIN)
    return Finding(
        place,
        f"`{flag}` of vLLM {server.release} does not know `{value}`, {fact}: {REFUSED}",
        advice,
        label,
        confidence=judged.confidence,
        assumptions=assumptions,
        related=judged.related,
        fix=fix,
    )


def _is_plain(server: Server) -> bool:
    """Whether nothing speaks of a plugin that may bring the method: vLLM's own image, nothing installed."""
    own = server.image is not None and is_official(server.image.full_repository)
    script = server.invocation.script
    installs = script is not None and re.search(r"\bpip3?\s+install\b", script.word.text or "") is not None
    return own and not installs and "VLLM_PLUGINS" not in server.env


def _never_there(setting: Setting, value: str, server: Server) -> Iterator[Finding]:
    """A name that no release lists: a slip of the pen, or a plugin's."""
    flag = setting.spec.name if setting.spec is not None else setting.spelling
    if "VLLM_PLUGINS" in server.env or server.release_certainty not in {"certain", "contract"}:
        return
    names = sorted(method_names(flag_table(server.release).spec(flag)))
    near = get_close_matches(as_listed(flag, value), names, 1, 0.75)
    if not near:
        return
    judged = judgement(server).less_sure()
    yield Finding(
        server.value_place(setting),
        f"no release of vLLM lists `{value}` for `{flag}`: unless a plugin in the image brings it, {REFUSED}",
        f"Write `{flag}={near[0]}`, if that is meant.",
        "unknown name",
        confidence=judged.confidence,
        assumptions=(*judged.assumptions, _NO_PLUGIN),
        related=judged.related,
    )


def _some(server: Server, flag: str, value: str) -> str:
    """The names of the release nearest to one that is gone, then the first ones."""
    spec = flag_table(server.release).get(flag)
    names = sorted(method_names(spec)) if spec is not None else []
    near = get_close_matches(as_listed(flag, value), names, 3, 0.5)
    return ", ".join(f"`{name}`" for name in (near or names[:5]))


def _gated(setting: Setting, value: str, server: Server) -> Iterator[Finding]:
    """A deprecated method without the flag that allows it."""
    flag = setting.spec.name if setting.spec is not None else setting.spelling
    for row in gated_methods():
        if row.flag != flag or value not in row.values or not server.release.at_least(row.since):
            continue
        allowed = server.get(row.needs.removeprefix("--").replace("-", "_"))
        if not allowed.known or allowed.value:
            continue
        judged: Judgement = judgement(server)
        yield Finding(
            server.value_place(setting),
            f"`{value}` is deprecated since vLLM {row.since}, and a server that uses it without `{row.needs}`"
            " ends with a ValueError: the pod restarts forever",
            f"Add `{row.needs}`, and plan for a checkpoint in another form.",
            f"needs {row.needs}",
            confidence=judged.confidence,
            assumptions=judged.assumptions,
            related=judged.related,
        )


def default_changed_between_releases(server: Server, world: World) -> Iterator[Finding]:
    """Settings that are not written and mean something else in the release that is compared with."""
    other, why = _other_release(server, world)
    if other is None or server.release_certainty == "assumed" or other == server.release:
        return
    older, newer = min(other, server.release), max(other, server.release)
    sides = sides_of(server, world, older, newer)
    place = server.image.tag_place if server.image is not None else server.anchor
    for change in default_changes(sides, world):
        what = f"`{change.name}` is not set and" if change.name.startswith("--") else f"{change.name}"
        note = f" ({change.note})" if change.note else ""
        flag = (
            f"Write `{change.name}` with the value you want, so that"
            if change.name.startswith("--")
            else "Note that"
        )
        yield Finding(
            place,
            f"{what} goes from {change.before} in vLLM {older} to {change.after} in {newer}{note}",
            f"{flag} an image bump does not change it."
            if change.name.startswith("--")
            else "Test the server at the newer release before it is rolled out.",
            why,
            confidence="medium",
        )


def _other_release(server: Server, world: World) -> tuple[Release | None, str]:
    """The release to compare with: the rule's option, else the contract's `vllm.release`."""
    text = world.option("default-changed-between-releases", "againstRelease", server.object)
    if text:
        return Release.parse(str(text)), f"compared with {text}"
    named = world.contract(server.object).vllm.release
    return (Release.parse(str(named)), f"the contract names {named}") if named else (None, "")
