"""What a parsed vLLM command line says: settings, the model, unknown flags and errors, with places."""

from __future__ import annotations

from dataclasses import field
from enum import Enum
from typing import Any, Final, Literal

from vllmlint.record import mutable, record
from vllmlint.serving.arg_errors import ArgumentError, Span
from vllmlint.serving.flag_tables import Entrypoint, FlagHistory, FlagSpec, flag_table
from vllmlint.serving.release import Release

#: Stands inside a word for characters that cannot be known (`--port=` + UNKNOWN_MARK). No real argument
#: can hold it. A word that is None is the same as a word of just this mark.
UNKNOWN_MARK: Final = "\0"


class Unknown(Enum):
    """The type of `UNKNOWN`."""

    UNKNOWN = "unknown"

    def __repr__(self) -> str:
        """Its name."""
        return "UNKNOWN"

    def __bool__(self) -> bool:
        """False: an unknown switch is not known to be on."""
        return False


#: The value of a setting that cannot be known, or that vLLM refuses (there is an error then).
UNKNOWN: Final = Unknown.UNKNOWN

ModelSource = Literal["positional", "option", "default", "config"]


@record
class DottedPart:
    """One `--flag.key.sub value` of a setting: `path` ("key", "sub") got `value`.

    Words and spans as in `Setting`.
    """

    path: tuple[str, ...]
    value: Any
    flag_word: int
    flag_span: Span
    value_word: int
    value_span: Span


@record
class Setting:
    """One flag on a command line and the value it gives.

    `name` is the canonical key (`tensor_parallel_size`), `spelling` what was written (`-tp`),
    `flag_word` the index of its word and `flag_span` the characters of the spelling in it;
    `value_words` are the words of the value (the flag's own for `--f=v`, none for a bare switch) and
    `value_span` the characters of the value inside the first of them. Words of `--config` files have
    index -1. `value` is the parsed value, or UNKNOWN. `certain` is False when an unknown word may
    have changed what this is. `dotted` lists the parts when the value was written with dotted keys.
    """

    name: str
    value: Any
    spelling: str
    flag_word: int
    flag_span: Span
    value_words: tuple[int, ...] = ()
    value_span: Span | None = None
    certain: bool = True
    negated: bool = False
    dotted: tuple[DottedPart, ...] = ()
    spec: FlagSpec | None = field(default=None, repr=False, compare=False)

    @property
    def known(self) -> bool:
        """Whether the value is known."""
        return self.value is not UNKNOWN

    @property
    def from_config(self) -> bool:
        """Whether the setting stands in the `--config` file, not on the command line."""
        return self.flag_word < 0


@record
class UnknownFlag:
    """A flag this release's parser does not know.

    `span` covers the spelling without `=value`. `suggestion` is the flag to write instead, if there is
    one: what vLLM names as its replacement, else a flag of nearly the same spelling. `history` tells
    when releases had it. `value_words` are the words after it that nothing else takes.
    """

    word: int
    span: Span
    name: str
    suggestion: str | None
    history: FlagHistory | None
    value_words: tuple[int, ...] = ()


@record
class ConfigUse:
    """`--config FILE`: the path (None if unknown), its word, and whether its content could be used."""

    path: str | None
    word: int | None
    expanded: bool


@mutable
class ParsedArguments:
    """A command line as vLLM's parser reads it.

    `settings` holds the effective occurrence of each flag (the last one), `occurrences` all of them in
    the order they are read. `model` is what would be served: None when it cannot be known or there is
    none. `model_word` and `model_span` are its place on the line, if it has one. `positional` is the
    text of the positional argument, `positionals` are the words (indices) that stand as positional
    arguments, the model included. `errors` come in the order vLLM would meet them: it ends with the
    first.
    """

    release: Release
    entrypoint: Entrypoint
    settings: dict[str, Setting] = field(default_factory=dict)
    occurrences: list[Setting] = field(default_factory=list)
    model: str | None = None
    model_source: ModelSource | None = None
    model_word: int | None = None
    model_span: Span | None = None
    model_setting: Setting | None = None
    positional: str | None = None
    positionals: list[int] = field(default_factory=list)
    unknown: list[UnknownFlag] = field(default_factory=list)
    errors: list[ArgumentError] = field(default_factory=list)
    config: ConfigUse | None = None
    has_unknown_words: bool = False

    @property
    def complete(self) -> bool:
        """Whether every flag is known: a flag that is not in `settings` is really not given."""
        return not self.has_unknown_words and (self.config is None or self.config.expanded)

    def get(self, name: str) -> Any:
        """The effective value of a flag by its key; None when it is not given, or UNKNOWN."""
        setting = self.settings.get(name)
        return None if setting is None else setting.value

    def effective(self, name: str) -> Any:
        """The value of a flag by its key, the release's default when it is not given; may be UNKNOWN."""
        setting = self.settings.get(name)
        if setting is not None:
            return setting.value
        spec = flag_table(self.release).get(name)
        return None if spec is None else spec.default
