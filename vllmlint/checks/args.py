"""Section args: the command line as the parser of the image's release reads it."""

from __future__ import annotations

from collections.abc import Iterator

from vllmlint.checks._args import REFUSED, is_split_later, joined_flag, judgement, knows
from vllmlint.checks._entrypoint import form_problem
from vllmlint.facts.replacements import replacement_texts
from vllmlint.finding import Edit, Finding, Fix, Related
from vllmlint.manifest.text import Place
from vllmlint.regex import regex
from vllmlint.serving.arg_errors import ArgumentError
from vllmlint.serving.arg_results import Setting, UnknownFlag
from vllmlint.serving.flag_tables import FlagHistory, FlagSpec, flag_history, flag_table
from vllmlint.serving.release import Release
from vllmlint.serving.server import Server
from vllmlint.world import World

#: Flags whose values are no business of a report.
_SECRET = frozenset({"api_key", "hf_token"})
#: A setting that is written without its dashes.
_NAME_AND_VALUE = regex(r"[A-Za-z][\w-]*(?==)")


def unknown_or_removed_flag(server: Server, world: World) -> Iterator[Finding]:
    """Arguments that the release's parser does not recognize."""
    for flag in server.arguments.unknown:
        yield _unknown(flag, server)
    for error in server.arguments.errors:
        if error.kind == "ambiguous" and error.word is not None and error.span is not None:
            yield _ambiguous(error, server)
    for setting in server.arguments.occurrences:
        yield from _misread(setting, server)
    for index in _stray_words(server):
        yield _stray(index, server)


def flag_repeated_conflicting(server: Server, world: World) -> Iterator[Finding]:
    """A setting that is given twice with different values."""
    given: dict[str, list[Setting]] = {}
    for setting in server.arguments.occurrences:
        repeats = setting.spec is not None and setting.spec.repeat == "append"
        if not setting.from_config and not repeats:
            given.setdefault(setting.name, []).append(setting)
    for name, settings in given.items():
        *earlier, last = settings
        lost = [one for one in earlier if one.known and last.known and one.value != last.value]
        if not lost or name in {"help", "config"}:
            continue
        flag = last.spec.name if last.spec is not None else last.spelling
        whole = " as a whole" if last.dotted or any(one.dotted for one in lost) else ""
        winner = "" if name in _SECRET or last.dotted else f", `{server.value_place(last).text}`,"
        yield Finding(
            server.value_place(last),
            f"`{flag}` is given {len(settings)} times: the last one{winner} replaces the earlier "
            f"{'value' if len(lost) == 1 else 'values'}{whole} without an error",
            f"Keep one `{flag}`."
            + (" Write all keys into one JSON value, or all of them with dots." if whole else ""),
            "this one counts",
            related=tuple(Related(server.value_place(one), "has no effect") for one in lost),
        )


def _unknown(flag: UnknownFlag, server: Server) -> Finding:
    judged, fix = judgement(server), _rename(flag, server)
    fact, label = _life(flag.name, flag.history, server)
    valued = bool(flag.value_words)
    advice = _advice(flag.name, flag.suggestion, _value_of(flag, server), server, valued=valued)
    if fix is not None and advice.startswith("Remove"):
        advice = f"Write `{flag.suggestion}`, or remove it."
    return Finding(
        server.unknown_flag_place(flag),
        f"{fact}: {REFUSED}",
        advice,
        label,
        confidence=judged.confidence,
        assumptions=judged.assumptions,
        related=judged.related,
        fix=fix,
    )


def _ambiguous(error: ArgumentError, server: Server) -> Finding:
    """An abbreviation of several flags; often a removed flag that others begin like."""
    judged = judgement(server)
    place = server.word_place(error.word if error.word is not None else -1, *(error.span or (None, None)))
    name, _, matches = error.message.removeprefix("ambiguous option: ").partition(" could match ")
    name = name.partition("=")[0]
    candidates = " or ".join(f"`{match}`" for match in matches.split(", ")[:3])
    history = flag_history(name)
    if history is not None and _is_gone(history, server.release):
        fact = f"`{name}` was removed in {history.removed_in}, and vLLM {server.release} cannot tell whether"
        fact += f" {candidates} is meant"
        index = error.word if error.word is not None else -1
        following = server.invocation.words[index + 1 : index + 2]
        valued = place.text == name and any(not (word.text or "-").startswith("-") for word in following)
        advice = _advice(name, None, None, server, valued=valued)
        label = f"removed in {history.removed_in}"
    else:
        fact = f"`{name}` is short for several flags of vLLM {server.release} ({candidates})"
        advice, label = "Write the flag's whole name.", "ambiguous"
    return Finding(
        place,
        f"{fact}: {REFUSED}",
        advice,
        label,
        confidence=judged.confidence,
        assumptions=judged.assumptions,
        related=judged.related,
    )


def _misread(setting: Setting, server: Server) -> Iterator[Finding]:
    """A removed flag that the release takes for another one, because its name begins like it."""
    name = setting.spelling.partition(".")[0].replace("_", "-")
    if setting.spec is None or not name.startswith("--"):
        return
    history = flag_history(name)
    table = flag_table(server.release)
    known = name in table.options(server.arguments.entrypoint)
    if history is None or known or not _is_gone(history, server.release):
        return
    judged = judgement(server)
    yield Finding(
        server.flag_place(setting),
        f"`{name}` was removed in {history.removed_in}; vLLM {server.release} takes it for "
        f"`{setting.spec.name}`, of which it is the beginning",
        _advice(name, None, None, server),
        f"removed in {history.removed_in}",
        confidence=judged.confidence,
        assumptions=judged.assumptions,
        related=judged.related,
    )


def _is_gone(history: FlagHistory, release: Release) -> bool:
    return history.removed_in is not None and release.at_least(history.removed_in)


def _life(name: str, history: FlagHistory | None, server: Server) -> tuple[str, str]:
    """Why the release does not know a flag, and the same as a label."""
    release = server.release
    if history is None:
        return f"neither vLLM {release} nor any other known release has `{name}`", "unknown flag"
    if _is_gone(history, release):
        fact = f"vLLM {release} has no `{name}`, which was removed in {history.removed_in}"
        return fact, f"removed in {history.removed_in}"
    if not release.at_least(history.first):
        return f"vLLM {release} has no `{name}`, which came with {history.first}", f"needs {history.first}"
    spec = flag_table(release).get(name)
    if spec is not None and server.arguments.entrypoint == "module":
        return f"in vLLM {release} `{name}` is known to `vllm serve` only", "only of `vllm serve`"
    return f"vLLM {release} has no `{name}`, though other releases have it", "not in this release"


def _value_of(flag: UnknownFlag, server: Server) -> str | None:
    """The one value an unknown flag is given; None when there is none or it is not known."""
    if flag.word < 0 or flag.word >= len(server.invocation.words):
        return None
    text = server.invocation.words[flag.word].text or ""
    rest = text[flag.span[1] :]
    if rest.startswith("="):
        return rest[1:]
    if len(flag.value_words) == 1:
        return server.invocation.words[flag.value_words[0]].text
    return None


def _advice(
    name: str, suggestion: str | None, value: str | None, server: Server, *, valued: bool = False
) -> str:
    """What to write instead: what is known of the flag, else what vLLM or the spelling suggests.

    `valued` tells that the next words are the flag's value.
    """
    table, history = flag_table(server.release), flag_history(name)
    if history is not None and not server.release.at_least(history.first):
        return f"Use an image with vLLM {history.first} or a later release, or remove `{name}`."
    for text in replacement_texts("flags", name, value):
        if not text.startswith("-"):
            return f"Remove `{name}`{' and its value' if valued else ''}."
        if table.get(text.partition("=")[0].partition(".")[0]) is not None:
            return f"Write `{text}` instead."
    if suggestion is not None:
        return f"Write `{suggestion}` instead."
    replacement = history.replacement if history is not None else None
    if replacement is not None and all(table.get(one.split()[0]) for one in replacement.split(" / ")):
        return f"Write {' or '.join(f'`{one}`' for one in replacement.split(' / '))} instead."
    return f"Remove `{name}`; `vllm serve --help=all` lists what the image knows."


def _rename(flag: UnknownFlag, server: Server) -> Fix | None:
    """Write the suggested flag where it takes as many values of the same kind."""
    if flag.word < 0 or flag.suggestion is None:
        return None
    new = flag_table(server.release).get(flag.suggestion)
    if new is None:
        return None
    if flag.history is not None:
        last = Release.parse(flag.history.last)
        old = flag_table(last).get(flag.name) if last is not None else None
        fits = old is not None and _shape(old) == _shape(new)
    else:
        fits = new.takes_value == (_value_of(flag, server) is not None)
    if not fits:
        return None
    safe = flag.history is not None and server.release_certainty in {"certain", "contract"}
    edit = Edit(server.unknown_flag_place(flag), flag.suggestion)
    return Fix(f"write {flag.suggestion}", (edit,), safe=safe)


def _shape(spec: FlagSpec) -> tuple[str, str, bool]:
    return spec.type, spec.nargs, spec.takes_value


def _stray_words(server: Server) -> Iterator[int]:
    """The words that no flag takes, and that are not the model: the first of several in a row."""
    arguments = server.arguments
    if is_split_later(server):
        return
    taken = {index for flag in arguments.unknown for index in flag.value_words}
    form = form_problem(server)
    if form is not None:
        taken |= form.words  # wrong-entrypoint-form explains them
    starts = {error.word for error in arguments.errors if error.kind == "unrecognized" and not error.flag}
    inside, previous = False, -2
    for index in arguments.positionals:
        inside = index in starts or (inside and index == previous + 1)
        follows, previous = index - 1 in taken, index
        text = server.invocation.words[index].text
        if not inside or text is None or index in taken or index == arguments.model_word:
            continue
        first = index in starts or follows or _NAME_AND_VALUE.match(text) is not None
        if first and joined_flag(index, server) is None:
            yield index


def _stray(index: int, server: Server) -> Finding:
    judged, word = judgement(server), server.invocation.words[index]
    text = word.text or ""
    switch = next(
        (
            one
            for one in server.arguments.occurrences
            if one.flag_word == index - 1 and not one.value_words and one.spec is not None
        ),
        None,
    )
    named = _NAME_AND_VALUE.match(text)
    fix = None
    if named is not None and knows("--" + named.group(), server):
        fact, advice, label = (
            f"`{named.group()}` is no flag without dashes",
            f"Write `--{text}`.",
            "no dashes",
        )
        start = word.place.start
        fix = Fix("add the dashes", (Edit(Place(word.scalar.source, start, start), "--"),), safe=False)
    elif switch is not None and switch.spec is not None and text.lower() in {"true", "false", "1", "0"}:
        fact, label = f"`{switch.spelling}` takes no value, so `{text}` belongs to no flag", "not a value"
        negation = next((one for one in switch.spec.negations if one.startswith("--no-")), None)
        advice = f"Remove `{text}`."
        if text.lower() in {"false", "0"}:
            advice = f"Write `{negation}`." if negation else f"Remove `{switch.spelling}` and `{text}`."
    else:
        fact, label = f"`{_cut(text)}` belongs to no flag", "belongs to no flag"
        advice = "Remove it, or put its flag in front. A value with spaces must be one element, or quoted."
    return Finding(
        word.place,
        f"{fact}: {REFUSED}",
        advice,
        label,
        confidence=judged.confidence,
        assumptions=judged.assumptions,
        related=judged.related,
        fix=fix,
    )


def _cut(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 40 else line[:39] + "…"
