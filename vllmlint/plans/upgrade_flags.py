"""What another release's parser makes of the words of a server's command line."""

from __future__ import annotations

from collections.abc import Iterator

from vllmlint.manifest.text import Place
from vllmlint.plans.upgrade_change import Change, Sides, reached, shown
from vllmlint.plans.upgrade_flag_values import value_changes
from vllmlint.plans.upgrade_replacements import flag_replacement, refused_value_replacement
from vllmlint.regex import regex
from vllmlint.serving.arg_errors import ArgumentError
from vllmlint.serving.arg_results import Setting
from vllmlint.serving.flag_tables import flag_history, flag_table
from vllmlint.serving.server import Server

_MODULE = "vllm.entrypoints.openai.api_server"
#: From this release on the module prints a DeprecationWarning (vllm-command-line.md, section 1).
_MODULE_DEPRECATED = "0.29.0"
#: What a template engine or CI has still to fill in: every release refuses it as it stands.
_PLACEHOLDER = regex(r"\$\{|\{\{")
#: What each form of the entrypoint looks like.
_FORMS = {"serve": "vllm serve", "module": f"python3 -m {_MODULE}"}


def flag_changes(sides: Sides) -> Iterator[Change]:
    """Flags the target refuses, takes for the first time, or reads differently; and the model."""
    yield from _entrypoint(sides)
    if sides.after.invocation.opaque:
        return
    refused = list(_new_errors(sides))
    yield from (_refused(sides, error) for error in refused)
    if sides.before is not None:
        yield from _swallowed(sides, sides.before)
        yield from _accepted_now(sides, sides.before)
    yield from value_changes(sides)
    if sides.before is not None and not refused:
        yield from _model(sides, sides.before)


def _entrypoint(sides: Sides) -> Iterator[Change]:
    """Another entrypoint of the image, or a form that is on its way out."""
    before, after = sides.before, sides.after
    if before is None:
        return
    was, now = before.invocation.entrypoint, after.invocation.entrypoint
    if was != now:
        name = "--model" if now == "serve" and after.arguments.model_source == "option" else None
        yield Change(
            "flag",
            "entrypoint",
            _FORMS[was],
            _FORMS[now],
            replacement=f"args: [{after.model.id}, …]" if name and after.model.id else None,
            place=after.image.node.place if after.image is not None else after.anchor,
            note="--model X still works and draws a warning: it is announced for removal" if name else None,
        )
    launcher = after.invocation.launcher
    deprecated = sides.target.at_least(_MODULE_DEPRECATED) and not before.release.at_least(_MODULE_DEPRECATED)
    if deprecated and launcher and launcher[-1].text == _MODULE:
        text = f"deprecated since {_MODULE_DEPRECATED}"
        yield Change(
            "flag", _MODULE, "accepted", text, replacement="vllm serve MODEL", place=launcher[-1].place
        )


def _new_errors(sides: Sides) -> Iterator[ArgumentError]:
    """The target's errors about words that the source takes, one for each word."""
    old = sides.before.arguments.errors if sides.before is not None else []
    seen: set[object] = set()
    errors = sides.after.arguments.errors
    flags = [error for error in errors if error.flag]
    model = sides.before.arguments.model_word if sides.before is not None else None
    for error in errors:
        key = _subject(error)
        if key in seen or any(_subject(other) == key for other in old):
            continue
        # A flag that is not known leaves its value to be taken as the model, and then the model is too much.
        if not error.flag and error.word is not None and error.word == model and flags:
            continue
        if sides.before is None and _PLACEHOLDER.search(_word_text(sides.after, error) or ""):
            continue
        seen.add(key)
        yield error


def _subject(error: ArgumentError) -> object:
    """What an error is about: a word, else a flag, else what it says."""
    if error.word is not None and error.word >= 0:
        return error.word
    return error.flag or error.message


def _setting_of(server: Server, error: ArgumentError) -> Setting | None:
    """The setting that a release makes of the word an error is about."""
    if error.word is not None and error.word >= 0:
        for setting in server.arguments.occurrences:
            if error.word == setting.flag_word or error.word in setting.value_words:
                return setting
        return None
    key = error.flag.lstrip("-").replace("-", "_")
    return server.arguments.settings.get(key) if key else None


def _refused(sides: Sides, error: ArgumentError) -> Change:
    """An error that only the target has."""
    setting = _setting_of(sides.before, error) if sides.before is not None else None
    word = _word_text(sides.after, error)
    name = error.flag.replace("_", "-") if error.flag.startswith("--") else error.flag
    if setting is not None and setting.spec is not None:
        name = setting.spec.name
    # A word with a blank that starts no known option is a positional to argparse.
    taken = setting is not None and setting.flag_word == error.word and not error.flag
    unknown = error.kind == "unrecognized" and (bool(error.flag) or taken)
    if error.kind == "ambiguous" and not name:
        name = (word or "").partition("=")[0].replace("_", "-")
    # The whole name of a flag that is gone may be the beginning of several others.
    known = flag_history(name) is not None and name not in flag_table(sides.target).names
    cut = error.kind == "ambiguous" and known
    gone = cut or (unknown and flag_table(sides.target).get(name) is None)
    replacement = (
        flag_replacement(sides, error, setting)
        if unknown or cut
        else refused_value_replacement(sides, error, setting)
    )
    return Change(
        "flag",
        name or word or "command line",
        _before(sides, setting, word),
        f"refused: {_removal(sides, name)}" if gone else f"refused: {error.message}",
        True,
        replacement,
        _place(sides, error, setting),
        message=error.message,
    )


def _swallowed(sides: Sides, before: Server) -> Iterator[Change]:
    """Flags that the target does not know and silently takes for its positional argument.

    argparse does so with a word that holds a blank, as JSON does.
    """
    after = sides.after.arguments
    for setting in before.arguments.settings.values():
        word = setting.flag_word
        spec = setting.spec
        # `--model X` is moved to the model's place on purpose.
        if setting.from_config or spec is None or spec.name == "--model" or word not in after.positionals:
            continue
        if any(error.word == word for error in after.errors):
            continue
        error = ArgumentError("unrecognized", "", word, setting.flag_span, spec.name)
        yield Change(
            "flag",
            spec.name,
            shown(setting.value) if setting.known else "accepted",
            f"not read: {_removal(sides, spec.name)}, the word is taken for the model's place",
            True,
            flag_replacement(sides, error, setting),
            before.flag_place(setting),
        )


def _removal(sides: Sides, name: str) -> str:
    """Why the target does not know a flag."""
    history = flag_history(name)
    if history is None:
        return "not known"
    if not reached(sides.target, history.first):
        return f"new in {history.first}"
    if history.removed_in is not None and reached(sides.target, history.removed_in):
        return f"removed in {history.removed_in}"
    return f"not in {sides.target}"


def _before(sides: Sides, setting: Setting | None, word: str | None) -> str | None:
    """What the source makes of the refused words."""
    if sides.before is None:
        return None
    if setting is None:
        arguments = sides.before.arguments
        is_model = word is not None and word == arguments.model
        ignored = word is not None and word == arguments.positional and not is_model
        return "the model" if is_model else "ignored" if ignored else "accepted"
    return shown(setting.value) if setting.known else "accepted"


def _word_text(server: Server, error: ArgumentError) -> str | None:
    words = server.invocation.words
    inside = error.word is not None and 0 <= error.word < len(words)
    return words[error.word].text if inside and error.word is not None else None


def _place(sides: Sides, error: ArgumentError, setting: Setting | None) -> Place:
    """The characters of the refused word; those of the setting when it stands in a config file."""
    after = sides.after
    if error.word is not None and error.word >= 0:
        return after.word_place(error.word, *(error.span or (None, None)))
    if setting is not None and sides.before is not None:
        return sides.before.flag_place(setting)
    unknown = next((flag for flag in after.arguments.unknown if flag.name == error.flag), None)
    return after.unknown_flag_place(unknown) if unknown is not None else after.anchor


def _accepted_now(sides: Sides, before: Server) -> Iterator[Change]:
    """The source's errors that the target does not have."""
    now = {_subject(error) for error in sides.after.arguments.errors}
    told: set[object] = set()
    for error in before.arguments.errors:
        key = _subject(error)
        # a flag that the target does not have is refused there, whatever its value
        flag = error.flag.partition(".")[0]
        gone = bool(flag) and flag_table(sides.after.release).get(flag) is None
        if key in now or key in told or gone:
            continue
        told.add(key)
        setting = _setting_of(sides.after, error)
        word = _word_text(before, error)
        after = "accepted"
        if setting is not None and setting.known:
            after = f"read as {setting.spec.name if setting.spec else setting.name}={shown(setting.value)}"
        elif word is not None and word == sides.after.arguments.model:
            after = "the model"
        elif word is not None and word == sides.after.arguments.positional:
            after = f"ignored: the default model {sides.after.arguments.model} is served"
        name = (setting.spec.name if setting is not None and setting.spec else error.flag) or word
        place = _place(sides, error, None) if error.word is not None else before.anchor
        yield Change("flag", name or "command line", f"refused: {error.message}", after, place=place)


def _model(sides: Sides, before: Server) -> Iterator[Change]:
    """Another model is served by the same words."""
    was, now = before.arguments, sides.after.arguments
    if was.model is None or now.model is None or was.errors:
        return
    if was.model_source == "default" and now.model_source == "default":
        if was.model != now.model:
            yield Change(
                "default", "--model", was.model, now.model, note="no model is set: this one is served"
            )
        return
    if was.model == now.model:
        return
    wrong = now.model_source == "default"
    texts = [
        f"{each.model} (the default: the model on the line is ignored)"
        if each.model_source == "default"
        else each.model
        for each in (was, now)
    ]
    place = sides.after.model.place or before.model.place or before.anchor
    replacement = f"--model={was.model}" if wrong else None
    yield Change("flag", "model", texts[0], texts[1], wrong, replacement, place)
