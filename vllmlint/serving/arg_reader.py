"""argparse's own reading of prepared words, over a release's flag table.

Follows `ArgumentParser._parse_known_args` of CPython 3.11: words are first told apart (option or
argument), then consumed from left to right. Unlike argparse it goes on after an error, so that all
mistakes of a command line can be told at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field
from typing import Any, Final

from vllmlint.record import mutable, replace
from vllmlint.regex import regex
from vllmlint.serving import arg_values
from vllmlint.serving.arg_errors import ArgumentError, RefusedValueError, Span, about, expected, ignored
from vllmlint.serving.arg_results import UNKNOWN, UNKNOWN_MARK, ParsedArguments, Setting
from vllmlint.serving.arg_tokens import Token
from vllmlint.serving.flag_tables import FlagSpec, FlagTable

_NEGATIVE_NUMBER: Final = regex(r"-\d+|-\d*\.\d+")
#: Kinds of a word, as in argparse's pattern strings.
_ARGUMENT, _OPTION, _DASHES = "A", "O", "-"


@mutable
class Option:
    """A word that argparse takes for an option: its flag (None if unknown) and a glued value."""

    spec: FlagSpec | None
    length: int
    value: str | None = None
    negated: bool = False
    opaque: bool = False
    ambiguous: bool = False


@mutable
class Reader:
    """One pass over the tokens; fills `output` and keeps what nothing took.

    `words` are the words as written. `slots` is the number of positional arguments the parser still
    wants (0 or 1). `extras` are the indices of tokens left over, `positional` the index of the one that
    was taken, if any.
    """

    words: Sequence[str | None]
    tokens: list[Token]
    table: FlagTable
    output: ParsedArguments
    slots: int
    options: dict[int, Option] = field(default_factory=dict)
    kinds: list[str] = field(default_factory=list)
    extras: list[int] = field(default_factory=list)
    positional: int | None = None

    def read(self) -> None:
        """Read all tokens."""
        self._classify_all()
        tokens, kinds = self.tokens, self.kinds
        total = len(tokens)
        last_option = max(self.options, default=-1)
        index = 0
        while index <= last_option:
            if kinds[index] == _OPTION:
                index = self._consume_option(index)
                continue
            following = index
            while kinds[following] != _OPTION:
                following += 1
            taken = self._consume_positional(index)
            if taken == index:
                self.extras.extend(range(index, following))
                taken = following
            index = taken
        index = self._consume_positional(index)
        self.extras.extend(range(index, total))

    def _classify_all(self) -> None:
        kinds = self.kinds
        for index, token in enumerate(self.tokens):
            text = token.text
            if text == "--":
                kinds.append(_DASHES)
                kinds.extend(_ARGUMENT * (len(self.tokens) - index - 1))
                return
            option = self._classify(token) if text[:1] == "-" else None
            if option is None:
                kinds.append(_ARGUMENT)
            else:
                kinds.append(_OPTION)
                self.options[index] = option

    def _classify(self, token: Token) -> Option | None:
        text = token.text
        strings = self.table.options(self.output.entrypoint)
        found = strings.get(text)
        if found is not None:
            return Option(self.table.spec(found[0]), len(text), None, found[1])
        if len(text) == 1:
            return None
        name, equals, value = text.partition("=")
        if UNKNOWN_MARK in name:
            return self._classify_opaque(text, strings)
        if equals:
            found = strings.get(name)
            if found is not None:
                return Option(self.table.spec(found[0]), len(name), value, found[1])
        return self._classify_prefix(token, strings)

    def _classify_opaque(self, text: str, strings: dict[str, tuple[str, bool]]) -> Option:
        """An option whose name is partly unknown; `-q` + unknown is still the value of `-q`."""
        short = strings.get(text[:2]) if text[1] not in ("-", UNKNOWN_MARK) else None
        if short is not None:
            return Option(self.table.spec(short[0]), 2, text[2:], short[1])
        self.output.has_unknown_words = True
        return Option(None, len(text), None, opaque=True)

    def _classify_prefix(self, token: Token, strings: dict[str, tuple[str, bool]]) -> Option | None:
        """Abbreviated options, short options with a glued value, negative numbers, unknown options."""
        text = token.text
        name, equals, value = text.partition("=")
        entrypoint = self.output.entrypoint
        if text.startswith("--"):
            matches = self.table.prefixed(name, entrypoint)
            glued: str | None = value if equals else None
            length = len(name)
        else:
            matches = self.table.prefixed(text, entrypoint)
            glued, length = None, len(text)
            if text[:2] in strings:
                matches.append(text[:2])
                if len(matches) == 1:
                    glued, length = text[2:], 2
        if len(matches) > 1:
            message = f"ambiguous option: {text} could match {', '.join(matches)}"
            span = token.flag_span(length)
            self.output.errors.append(ArgumentError("ambiguous", message, token.word, span))
            return Option(None, length, glued, ambiguous=True)
        if matches:
            canonical, negated = strings[matches[0]]
            return Option(self.table.spec(canonical), length, glued, negated)
        if _NEGATIVE_NUMBER.fullmatch(text) or " " in text:
            return None
        return Option(None, len(name) if equals else len(text))

    def _consume_positional(self, index: int) -> int:
        """Give the parser's positional the words it matches at `index`; returns the index after them."""
        if not self.slots:
            return index
        kinds, total = self.kinds, len(self.kinds)
        position = index
        while position < total and kinds[position] == _DASHES:
            position += 1
        if position >= total or kinds[position] != _ARGUMENT:
            return index
        self.positional = position
        self.slots -= 1
        position += 1
        while position < total and kinds[position] == _DASHES:
            position += 1
        return position

    def _consume_option(self, index: int) -> int:
        """Read the option at `index` with its values; returns the index after them."""
        option = self.options[index]
        spec = option.spec
        if spec is None:
            if not option.opaque and not option.ambiguous:
                self.extras.append(index)
                return index + 1
            return self._skip_arguments(index + 1)
        if option.value is not None:
            if not spec.takes_value:
                self._refuse_value(index, option, spec)
            else:
                self._store(index, option, spec, [], option.value)
            return index + 1
        if not spec.takes_value:
            self._store_switch(index, option, spec)
            return index + 1
        stop = self._values_end(index + 1, spec)
        if stop == index + 1 and spec.nargs != "?" and spec.action != "value":
            token = self.tokens[index]
            span = token.flag_span(option.length)
            self.output.errors.append(
                ArgumentError("needs_value", expected(spec), token.word, span, spec.name)
            )
            self._record(index, option, spec, UNKNOWN, (), None, True)
            return stop
        self._store(index, option, spec, list(range(index + 1, stop)), None)
        return stop

    def _values_end(self, start: int, spec: FlagSpec) -> int:
        kinds, total = self.kinds, len(self.kinds)
        stop = start
        limit = total if spec.nargs == "+" else start + 1
        while stop < min(limit, total) and kinds[stop] == _ARGUMENT:
            stop += 1
        return stop

    def _skip_arguments(self, index: int) -> int:
        """Words after an option that cannot be told are its values, or not: nothing is said of them."""
        while index < len(self.kinds) and self.kinds[index] == _ARGUMENT:
            index += 1
        return index

    def _refuse_value(self, index: int, option: Option, spec: FlagSpec) -> None:
        token = self.tokens[index]
        value = option.value or ""
        if spec.type == "help":
            self.output.errors.append(ArgumentError("exit", "help", token.word, None, spec.name))
            return
        span = token.value_span(len(token.text) - len(value))
        message = ignored(spec, value)
        self.output.errors.append(ArgumentError("takes_no_value", message, token.word, span, spec.name))
        self._record(index, option, spec, UNKNOWN, (token.word,), span, True)

    def _store_switch(self, index: int, option: Option, spec: FlagSpec) -> None:
        if spec.type == "help":
            token = self.tokens[index]
            self.output.errors.append(ArgumentError("exit", "help", token.word, None, spec.name))
            return
        value = (spec.action != "store_false") is not option.negated
        self._record(index, option, spec, value, (), None, True)

    def _store(
        self, index: int, option: Option, spec: FlagSpec, places: list[int], glued: str | None
    ) -> None:
        """Convert the values of an option and record the setting."""
        token = self.tokens[index]
        span: Span | None = None
        if glued is not None:
            texts = [glued]
            # `-qfp8` and `--x=v` alike: the value is the end of the word.
            span = token.value_span(len(token.text) - len(glued))
            words: tuple[int, ...] = (token.word,)
        else:
            values = [self.tokens[place] for place in places]
            texts = [each.text for each in values]
            words = tuple(each.word for each in values)
            if values:
                span = values[0].value_span(0)
            if token.parts:
                words = tuple(dict.fromkeys(part.value_word for part in token.parts))
                span = token.parts[0].value_span
        uncertain = any(UNKNOWN_MARK in text for text in texts)
        if len(texts) > 1 and any(text[:1] == UNKNOWN_MARK for text in texts):
            # A word in a list may be the next option as well.
            self.output.has_unknown_words = True
        value: Any = UNKNOWN
        if not uncertain:
            try:
                value = self._value(spec, texts)
            except RefusedValueError as problem:
                message = problem.text if problem.bare else about(spec, problem.text)
                where = words[0] if words else token.word
                self.output.errors.append(ArgumentError(problem.kind, message, where, span, spec.name))
        self._record(index, option, spec, value, words, span, not uncertain)

    def _value(self, spec: FlagSpec, texts: list[str]) -> Any:
        if spec.action == "value":
            return arg_values.store_boolean(texts[0]) if texts else True
        if not texts:
            return spec.const
        if spec.name == "--lora-modules":
            modules = (arg_values.lora_module(text, self.table) for text in texts)
            return [module for module in modules if module is not None]
        if spec.name == "--prompt-adapters":
            return [item for item in map(arg_values.prompt_adapter, texts) if item is not None]
        if spec.nargs == "+":
            return [arg_values.convert(spec, text, self.table) for text in texts]
        return arg_values.convert(spec, texts[0], self.table)

    def _record(
        self,
        index: int,
        option: Option,
        spec: FlagSpec,
        value: Any,
        words: tuple[int, ...],
        span: Span | None,
        certain: bool,
    ) -> None:
        token = self.tokens[index]
        output = self.output
        start, end = token.flag_span(option.length)
        written = self.words[token.word] if token.word >= 0 else None
        setting = Setting(
            spec.key,
            value,
            token.text[: option.length] if written is None else written[start:end],
            token.word,
            (start, end),
            words,
            span,
            certain,
            option.negated,
            token.parts,
            spec,
        )
        output.occurrences.append(setting)
        if spec.repeat == "append":
            previous = output.settings.get(setting.name)
            setting = self._appended(setting, previous)
        output.settings[setting.name] = setting

    @staticmethod
    def _appended(setting: Setting, previous: Setting | None) -> Setting:
        """A flag that collects its values: the last occurrence with all of them."""
        if setting.value is UNKNOWN or (previous is not None and previous.value is UNKNOWN):
            return replace(setting, value=UNKNOWN)
        values = [setting.value] if previous is None else [*previous.value, setting.value]
        return replace(setting, value=values)
