"""Words of a vLLM command line that come from fields of a wrapper object."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from collections.abc import Sequence as SequenceType

from vllmlint.kube.env import UNKNOWN_MARK
from vllmlint.manifest.nodes import Mapping, Node, Scalar, Sequence
from vllmlint.regex import regex
from vllmlint.serving.config_file import plain
from vllmlint.serving.value import Origin
from vllmlint.serving.words import Word, shell_word, unknown_word
from vllmlint.serving.wrappers.nodes import StandIn
from vllmlint.serving.wrappers.wrapper import WordSource

_TEMPLATE = regex(r"\{\{-?\s*(.*?)\s*-?\}\}", re.DOTALL)
_REVISION = regex(r"(hf://[^:]+):([^:/]+)\Z")
_CAPITAL = regex(r"(?<=[a-z0-9])([A-Z])")


class WordList:
    """Words in the making, with where they come from."""

    def __init__(self) -> None:
        """Start with none."""
        self.words: list[Word] = []
        self._sources: list[WordSource] = []

    def add(self, words: Iterable[Word], origin: Origin, name: str) -> None:
        """Append words of one origin."""
        before = len(self.words)
        self.words += words
        if len(self.words) > before:
            self._sources.append(WordSource(len(self.words), origin, name))

    @property
    def sources(self) -> tuple[WordSource, ...]:
        """The sources in the order of the words."""
        return tuple(self._sources)


def text_word(text: str, at: Scalar) -> Word:
    """A word that the scalar `at` stands for: every character of it is all of the scalar."""
    scalar = StandIn(text, at)
    return Word(text, scalar, range(len(text) + 1), 0, len(text))


def value_word(scalar: Scalar) -> Word:
    """A word that is the text of a scalar."""
    return Word(scalar.text, scalar, range(len(scalar.text) + 1), 0, len(scalar.text))


def hidden_words(at: Scalar) -> list[Word]:
    """Stands for arguments that the controller adds and the objects do not show."""
    return [unknown_word(StandIn("…", at))]


def flag_words(key: Scalar, value: Node | None, name: str | None = None) -> list[Word]:
    """The words of one entry of a mapping of settings: `maxModelLen: 4096` is `--max-model-len 4096`.

    True is the bare flag, false its negation, null nothing; a list is several words, anything
    deeper JSON. `name` is the flag where the key does not spell it.
    """
    if value is None or (isinstance(value, Scalar) and value.is_null):
        return []
    flag = name or dashed(key.text)
    if isinstance(value, Scalar):
        if value.value is True:
            return [text_word(f"--{flag}", key)]
        if value.value is False:
            return [text_word(f"--no-{flag}", key)]
        return [text_word(f"--{flag}", key), value_word(value)]
    if isinstance(value, Sequence) and value.items and all(isinstance(item, Scalar) for item in value.items):
        items = [item for item in value.items if isinstance(item, Scalar)]
        return [text_word(f"--{flag}", key), *(value_word(item) for item in items)]
    try:
        text = json.dumps(plain(value), default=str)
    except ValueError:
        # a number too long to be written in decimals
        return [text_word(f"--{flag}", key), *hidden_words(key)]
    return [text_word(f"--{flag}", key), text_word(text, StandIn(text, value))]


def settings_words(settings: Mapping | None, skip: frozenset[str] = frozenset()) -> list[Word]:
    """The words of a whole mapping of settings (`engine_kwargs`, KAITO's `vllm:`)."""
    if settings is None:
        return []
    return [
        word
        for name, value in settings.entries.items()
        if name not in skip
        for word in flag_words(settings.keys[name], value)
    ]


def dashed(name: str) -> str:
    """A setting's name as a flag spells it: `maxModelLen` and `max_model_len` are `max-model-len`."""
    return _CAPITAL.sub(r"-\1", name.strip().removeprefix("--")).replace("_", "-").lower()


def model_words(uri: Scalar | None, *, flag: str | None = None) -> list[Word]:
    """The model that a URI names, with its revision where the URI holds one (`hf://org/model:rev`)."""
    if uri is None:
        return []
    match = _REVISION.match(uri.text)
    start = len("hf://") if uri.text.startswith("hf://") else 0
    end = match.end(1) if match is not None else len(uri.text)
    words = [text_word(flag, uri)] if flag is not None else []
    words.append(_cut(uri, start, end))
    if match is not None:
        words += [text_word("--revision", uri), _cut(uri, *match.span(2))]
    return words


def _cut(scalar: Scalar, start: int, end: int) -> Word:
    return Word(scalar.text[start:end], scalar, range(start, end + 1), start, end)


def shell_words(scalar: Scalar) -> list[Word]:
    """The words that a shell makes of a text of arguments (`eval`, an unquoted variable)."""
    from vllmlint.serving.shell import parse_script

    outer = value_word(scalar)
    # a command of its own in front, so that the first argument is read as an argument
    prefix = ": "
    shifted = Word(outer.text, scalar, _shifted(len(scalar.text), len(prefix)), 0, len(scalar.text))
    commands = parse_script(prefix + scalar.text.replace("\n", " "), env_complete=False).commands
    return [shell_word(word, shifted) for word in commands[0].words[1:]] if commands else []


def _shifted(length: int, by: int) -> SequenceType[int]:
    return [0] * by + list(range(length + 1))


def substituted(word: Word, resolve: Callable[[str], str | None]) -> Word:
    """A word after the controller filled in its Go templates (`{{.Name}}`)."""
    text = word.text
    if text is None or "{{" not in text:
        return word
    out: list[str] = []
    offsets: list[int] = []
    last = 0
    for match in _TEMPLATE.finditer(text):
        out.append(text[last : match.start()])
        offsets += word.offsets[last : match.start()]
        known = resolve(match.group(1))
        # two marks, one for each end of the expression
        replacement = 2 * UNKNOWN_MARK if known is None else known
        out.append(replacement)
        # the last character stands for the end of the expression, so that the whole of it is underlined
        first, end = word.offsets[match.start()], word.offsets[match.end() - 1]
        offsets += [first] * (len(replacement) - 1) + [end] * bool(replacement)
        last = match.end()
    out.append(text[last:])
    offsets += word.offsets[last:]
    return Word("".join(out), word.scalar, offsets, word.start, word.end)
