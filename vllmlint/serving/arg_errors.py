"""What can be wrong with a vLLM command line, in argparse's own terms and words."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from vllmlint.record import record
from vllmlint.serving.flag_tables import FlagSpec

#: How the process ends. `exception` is a traceback, `exit` the help text, `usage` any other usage error.
ErrorKind = Literal[
    "unrecognized",
    "ambiguous",
    "invalid_choice",
    "invalid_value",
    "needs_value",
    "takes_no_value",
    "required",
    "usage",
    "exception",
    "exit",
]
#: `parse`: the parser itself; `validate`: vLLM's checks right after it; `command`: the `serve`
#: command before it starts anything.
Stage = Literal["parse", "validate", "command"]
#: A character range inside one word, end excluded.
Span = tuple[int, int]


@record
class ArgumentError:
    """One reason why vLLM ends before it starts.

    `message` is the text after `error:` (or of the exception). `word` is the index of the word it is
    about, None when it is about no word of the command line (something missing, or in the `--config`
    file); `span` the characters inside that word. `flag` is the canonical long name where one is known.
    """

    kind: ErrorKind
    message: str
    word: int | None = None
    span: Span | None = None
    flag: str = ""
    stage: Stage = "parse"


class RefusedValueError(Exception):
    """A value that a flag does not take; carries the kind and the text after `argument --x:`."""

    def __init__(self, kind: ErrorKind, text: str, bare: bool = False) -> None:
        """`bare` texts are not prefixed with the flag's names."""
        super().__init__(text)
        self.kind = kind
        self.text = text
        self.bare = bare


def about(spec: FlagSpec, text: str) -> str:
    """`argument --tensor-parallel-size/-tp: TEXT`."""
    return f"argument {'/'.join(spec.spellings)}: {text}"


def expected(spec: FlagSpec) -> str:
    """The text of a missing value."""
    return about(spec, "expected at least one argument" if spec.nargs == "+" else "expected one argument")


def ignored(spec: FlagSpec, value: str) -> str:
    """The text of a value glued to a flag that takes none."""
    return about(spec, f"ignored explicit argument {value!r}")


def choose(value: object, choices: Iterable[object]) -> str:
    """The text of a value outside the choices."""
    return f"invalid choice: {value!r} (choose from {', '.join(map(repr, choices))})"
