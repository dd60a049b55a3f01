"""The command line that `fit` plans for: words behind `--`, `--model` and `--set`, as vLLM reads them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vllmlint.cli.fit_errors import FitUsageError
from vllmlint.serving.arguments import ParsedArguments, parse_arguments
from vllmlint.serving.flag_tables import flag_table
from vllmlint.serving.release import Release

#: Spellings of a switch behind `--set`.
_ON, _OFF = frozenset({"true", "yes", "on", "1"}), frozenset({"false", "no", "off", "0"})


def parsed_words(
    words: Sequence[str], model: str | None, settings: Sequence[str], release: Release
) -> ParsedArguments:
    """A `vllm serve` command line, its own name left out or not; `--model` and `--set` go behind it.

    Raises FitUsageError where vLLM's parser would end, with its words and a suggestion for a flag.
    """
    rest = list(words)
    for program in ("vllm", "serve"):
        if rest and rest[0] == program:
            del rest[0]
    if model is not None:
        rest = [model, *rest]
    arguments = parse_arguments([*rest, *set_words(settings, release)], release, "serve", read_config)
    _raise_errors(arguments, release)
    if arguments.model is None or arguments.model_source == "default":
        raise FitUsageError("no model: name it with --model or as the first word behind `--`")
    return arguments


def overriding(settings: Sequence[str], release: Release) -> Mapping[str, Any]:
    """What `--set` gives, by vLLM's names, typed as its parser does. Raises FitUsageError."""
    if not settings:
        return {}
    arguments = parse_arguments(["model", *set_words(settings, release)], release, "serve")
    _raise_errors(arguments, release)
    return {name: one.value for name, one in arguments.settings.items() if name != "model" and one.known}


def _raise_errors(arguments: ParsedArguments, release: Release) -> None:
    if arguments.unknown:
        unknown = arguments.unknown[0]
        hint = f": did you mean {unknown.suggestion}?" if unknown.suggestion else ""
        raise FitUsageError(f"vLLM {release} knows no {unknown.name}{hint}")
    if arguments.errors:
        raise FitUsageError(f"vLLM {release} refuses the command line: {arguments.errors[0].message}")


def set_words(settings: Sequence[str], release: Release) -> list[str]:
    """`--set flag=value` as words of a command line: a switch becomes the flag or its negation."""
    return [_set_word(one, release) for one in settings]


def _set_word(text: str, release: Release) -> str:
    name, equals, value = text.partition("=")
    name = name.strip().lstrip("-").replace("_", "-")
    if not name or not equals:
        raise FitUsageError(f"--set {text!r}: write flag=value, as in max-model-len=32768")
    spec = flag_table(release).get("--" + name)
    if spec is None or spec.takes_value:
        return f"--{name}={value}"
    lowered = value.strip().lower()
    if lowered not in _ON | _OFF:
        raise FitUsageError(f"--set {text!r}: --{name} is a switch, write true or false")
    if lowered in _ON:
        return spec.name
    if not spec.negations:
        raise FitUsageError(f"--set {text!r}: vLLM {release} cannot switch --{name} off")
    return spec.negations[0]


def read_config(path: str) -> Mapping[Any, Any] | None:
    """The content of a `--config` file on this machine; None where it is not there or is no mapping."""
    from vllmlint.manifest.nodes import Mapping as MappingNode
    from vllmlint.manifest.reader import read_manifest
    from vllmlint.serving.config_file import plain
    from vllmlint.sources.files import SourceError, find_inputs

    try:
        inputs = find_inputs([path])
        documents = read_manifest(path, inputs[0].read()).documents if inputs else ()
    except SourceError:
        return None
    root = documents[0].root if documents else None
    return {key: plain(node) for key, node in root.entries.items()} if isinstance(root, MappingNode) else None
