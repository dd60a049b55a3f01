"""Static reading of the scripts that pod specs give to `sh -c` and `bash -c`.

The bash grammar (tree-sitter) gives the structure; importing this module does not load it. A value is only
given when it does not depend on anything outside the script and the environment passed in: what the image may
set, what a command prints and what only some branch assigns is unknown. Functions are read where they are
defined and are not followed when called. Line ends may be CR LF and are read as LF, which is kinder than a
shell is.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from vllmlint.record import record, replace
from vllmlint.regex import regex
from vllmlint.serving.shell_commands import ShellCommand
from vllmlint.serving.shell_facts import Facts, collect
from vllmlint.serving.shell_fields import ShellWord
from vllmlint.serving.shell_state import Environment, Missing, State
from vllmlint.serving.shell_walk import Context, Walker

if TYPE_CHECKING:
    from tree_sitter import Language, Tree

__all__ = ["Script", "ShellCommand", "ShellWord", "parse_script"]

MAX_SCRIPT = 128 * 1024
"""Longest script that is read, in characters; Linux takes no longer argument."""
# The parser's memory grows with the square of the pipes of one broken pipeline.
_MAX_PIPES = 2000
# Error recovery on garbage can take quadratic time; real scripts take milliseconds.
_MAX_SECONDS = 1.0
# Shorter scripts are parsed without a time limit, which takes well under a second for the worst of them.
_SMALL = 1 << 13

# Characters of more than one byte, and blanks that are none to a shell, stand in words as a dot does. With
# them replaced, the parser's byte offsets are offsets of characters.
_NOT_ASCII = regex(r"[^\t\n -~]")
# The grammar skips an escaped blank, the shell makes it part of a word. Escapes are matched in pairs so that
# the blank after an escaped backslash stays one.
_ESCAPE = regex(r"\\(.)", re.DOTALL)


@record
class Script:
    """What is statically known about a script."""

    commands: tuple[ShellCommand, ...]
    """Every simple command in the order of the text, except tests (`[ ]`), bare assignments and `$(...)`."""
    variables: Mapping[str, str | None]
    """Variables that the script assigns, with their values at its end; None when not known or an array."""
    errors: tuple[tuple[int, int], ...]
    """Ranges that could not be read; an empty range marks where something is missing."""


def parse_script(
    text: str,
    env: Mapping[str, str | None] | None = None,
    positional: Sequence[str | None] | None = None,
    *,
    env_complete: bool = True,
) -> Script:
    """Read a script; never fails.

    `env` holds the container's environment, None for a value that is not known. `positional` are the
    arguments after the script (`$0`, `$1`...), None when not known. With `env_complete`, `${NAME:-default}`
    of a name that nothing sets is its default; pass False where variables come from unreadable sources
    (`envFrom`).
    """
    unread = Script((), {}, ((0, len(text)),))
    if len(text) > MAX_SCRIPT or text.count("|") > _MAX_PIPES:
        return unread
    clean, offsets = _without_carriage_returns(text)
    tree = _parse(_for_grammar(clean))
    if tree is None:
        return unread
    facts = collect(tree.root_node, clean)
    environment = Environment(env or {}, env_complete)
    state = State(facts.names, environment, None if positional is None else tuple(positional))
    walker = Walker(clean, facts, environment)
    walker.statements(
        [tree.root_node] if tree.root_node.is_error else tree.root_node.children, Context(), state
    )
    commands = sorted(walker.commands, key=lambda command: command.start)
    script = Script(tuple(commands), _variables(state, facts), tuple(sorted(facts.errors)))
    return script if offsets is None else _moved(script, offsets)


def _variables(state: State, facts: Facts) -> Mapping[str, str | None]:
    """Final values of the variables that the script assigns outside functions and subshells."""
    values = {name: state.lookup(name) for name in state.local}
    return {
        name: value if isinstance(value, str) else None
        for name, value in values.items()
        if not isinstance(value, Missing)
    }


@cache
def _language() -> Language:
    """The bash grammar, loaded on first use."""
    import tree_sitter_bash
    from tree_sitter import Language

    return Language(tree_sitter_bash.language())


def _for_grammar(text: str) -> bytes:
    """The text with one byte per character, in which words have the extent they have for a shell."""
    plain = _NOT_ASCII.sub(".", text)
    return _ESCAPE.sub(lambda pair: ".." if pair[1] in " \t" else pair[0], plain).encode("ascii")


def _parse(source: bytes) -> Tree | None:
    """The syntax tree, or None when the parser does not get to an end in time."""
    from tree_sitter import Parser

    # A parser that gave up keeps its place, so each script gets its own.
    parser: Any = Parser(_language())
    if len(source) <= _SMALL:
        small: Tree = parser.parse(source)
        return small
    deadline = time.thread_time() + _MAX_SECONDS
    # Each piece the parser asks for stays in memory for good, so pieces must be views and not copies.
    view = memoryview(source)
    try:
        tree: Tree = parser.parse(
            lambda offset, point: view[offset:],
            progress_callback=lambda offset, failed: time.thread_time() > deadline,
        )
    except ValueError:
        return None
    return tree


def _without_carriage_returns(text: str) -> tuple[str, tuple[int, ...] | None]:
    """The text with LF line ends and the original offset of each of its characters (None: the same)."""
    if "\r\n" not in text:
        return text, None
    kept = [index for index, char in enumerate(text) if char != "\r" or not text.startswith("\n", index + 1)]
    return "".join(text[index] for index in kept), (*kept, len(text))


def _moved(script: Script, offsets: tuple[int, ...]) -> Script:
    """The script with offsets of the text as it was given."""

    def after(end: int) -> int:
        return offsets[end - 1] + 1 if end else 0

    def moved_range(start: int, end: int) -> tuple[int, int]:
        return offsets[start], max(offsets[start], after(end))

    def moved_word(word: ShellWord) -> ShellWord:
        start, end = moved_range(word.start, word.end)
        sources = tuple(moved_range(*source) for source in word.sources)
        return ShellWord(word.text, start, end, tuple(offsets[at] for at in word.offsets), sources)

    commands = []
    for command in script.commands:
        start, end = moved_range(command.start, command.end)
        words = tuple(moved_word(word) for word in command.words)
        commands.append(replace(command, words=words, start=start, end=end))
    errors = tuple(moved_range(*error) for error in script.errors)
    return Script(tuple(commands), script.variables, errors)
