"""Simple commands of a shell script: their words, and what they do to its variables."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from vllmlint.record import record
from vllmlint.regex import regex
from vllmlint.serving.shell_facts import CONTINUATION, IDENTIFIER, READERS, arithmetic_names
from vllmlint.serving.shell_fields import Field, ShellWord
from vllmlint.serving.shell_state import Environment, Missing, State, Value
from vllmlint.serving.shell_words import MAX_VALUE, WordReader

if TYPE_CHECKING:
    from tree_sitter import Node

_MAX_ELEMENTS = 4096
_ASSIGNMENT = regex(r"([A-Za-z_][A-Za-z0-9_]*)(\[[^\]]*\])?(\+?=)")
_BLANKS = regex(r"(?:[ \t\n]|\\\n)*")


@record
class ShellCommand:
    """One simple command and the circumstances under which it runs."""

    words: tuple[ShellWord, ...]
    """Without assignment prefixes and redirections."""
    assignments: Mapping[str, str | None]
    """Assignments before the command, for its environment only (`FOO=1 vllm serve`)."""
    start: int
    end: int
    is_last: bool = False
    """Nothing of the script runs after it, because it is the end or because `exec` replaces the shell."""
    conditional: bool = False
    """Runs only in some branch: if, case, loop or function body, right of `||` or of a test and `&&`."""
    piped: bool = False
    background: bool = False
    in_function: bool = False
    in_subshell: bool = False


class CommandReader:
    """Reads commands and assignments, and applies their effects to the state."""

    def __init__(self, text: str, closers: Mapping[int, int], environment: Environment) -> None:
        self.text = text
        self.closers = closers
        self.environment = environment
        self.words = WordReader(text, closers)

    def command(self, node: Node, extra: Sequence[Node], state: State) -> ShellCommand | None:
        """An ordinary command; `extra` are redirections whose operands may hide arguments."""
        prefixes: list[Node] = []
        parts: list[Node] = []
        unread: list[Node] = []
        for index, child in enumerate(node.children):
            role = node.field_name_for_child(index)
            if child.type == "variable_assignment":
                prefixes.append(child)
            elif role == "redirect":
                parts.extend(_hidden_arguments(child))
            elif role in ("name", "argument"):
                parts.append(child)
            elif child.is_error:
                unread.append(child)
        for redirect in extra:
            parts.extend(_hidden_arguments(redirect))
        words = self._words([_range(part) for part in parts], [_range(part) for part in unread], state)
        assignments = self._prefixes(prefixes, state)
        self._forget_arithmetic(node, state)
        if not words:
            return None
        self._apply(words, state)
        start = min(words[0].start, node.start_byte)
        return ShellCommand(words, assignments, start, max(word.end for word in words))

    def declaration(self, node: Node, extra: Sequence[Node], state: State) -> ShellCommand | None:
        """`export`, `local`, `declare`, `readonly`, `typeset` or `unset` with its operands."""
        words: list[ShellWord] = []
        for start, end in self._joined(_range(child) for child in node.children if child.type != "comment"):
            if _ASSIGNMENT.match(self.text, start, end) is None:
                words.extend(_shell_word(made, start, end) for made in self.words.words(start, end, state))
            else:
                words.append(_shell_word(self.words.value(start, end, state), start, end))
        if not words:
            return None
        for child in node.children[1:]:
            if child.type == "variable_assignment":
                self.assign(child, state)
        keyword = words[0].text
        for word in words[1:]:
            self._declare(keyword, word, state)
        return ShellCommand(tuple(words), {}, node.start_byte, words[-1].end)

    def _declare(self, keyword: str | None, word: ShellWord, state: State) -> None:
        """Effect of one operand that is not plainly `NAME=value`."""
        matched = _ASSIGNMENT.match(self.text, word.start, word.end)
        if matched is not None:
            return
        if word.text is None:
            quoted = _ASSIGNMENT.match(self.text, word.start + 1, word.end)
            if quoted is not None:
                state.assign(quoted[1], None)
            else:
                # export $(cat settings | xargs): any name may be set now
                self.environment.complete = False
            return
        name, equals, value = word.text.partition("=")
        if IDENTIFIER.fullmatch(name) is None:
            return
        if equals:
            state.assign(name, value)
        elif keyword in ("unset", "unsetenv"):
            state.assign(name, Missing.UNSET)
        elif keyword in ("local", "declare", "typeset"):
            state.assign(name, None)

    def assign(self, node: Node, state: State) -> None:
        """A variable assignment."""
        matched = _ASSIGNMENT.match(self.text, node.start_byte, node.end_byte)
        if matched is None:
            return
        name = matched[1]
        if matched[2]:
            state.assign(name, None)
            return
        value = self._assigned_value(node, matched.end(), state)
        if matched[3] == "+=":
            value = _appended(state.lookup(name), value)
        state.assign(name, _limited(value))
        self._forget_arithmetic(node, state)

    def _assigned_value(self, node: Node, start: int, state: State) -> Value:
        array = node.child_by_field_name("value")
        if array is None or array.type != "array":
            return self.words.value(start, node.end_byte, state).text
        elements: list[str | None] = []
        inner = [_range(child) for child in array.children if child.type not in ("(", ")", "comment")]
        for start, end in self._joined(inner):
            if self.text.startswith("[", start) and "]=" in self.text[start:end]:
                return None
            elements.extend(made.text for made in self.words.words(start, end, state))
        return tuple(elements)

    def _prefixes(self, nodes: Sequence[Node], state: State) -> Mapping[str, str | None]:
        """Assignments before a command; each sees those before it, the command's words see none."""
        layer = state.layer()
        for node in nodes:
            self.assign(node, layer)
        return {name: value if isinstance(value, str) else None for name, value in layer.local.items()}

    def _words(
        self, ranges: list[tuple[int, int]], unread: list[tuple[int, int]], state: State
    ) -> tuple[ShellWord, ...]:
        words = [ShellWord(None, start, end, ()) for start, end in unread if end > start]
        for start, end in self._joined(ranges):
            if self.words.budget < 0:
                words.append(ShellWord(None, start, end, ()))
                continue
            words.extend(_shell_word(made, start, end) for made in self.words.words(start, end, state))
        # sorted() keeps the order of words that one expansion made
        return tuple(sorted(words, key=lambda word: word.start))

    def _joined(self, ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
        """Ranges of whole words: pieces that touch, or that only a line continuation parts, are one word."""
        joined: list[tuple[int, int]] = []
        for start, end in sorted(ranges):
            blanks = _BLANKS.match(self.text, start, end)
            start = blanks.end() if blanks is not None else start
            if start >= end:
                continue
            if joined and CONTINUATION.fullmatch(self.text, joined[-1][1], max(start, joined[-1][1])):
                joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
            else:
                joined.append((start, end))
        return joined

    def _forget_arithmetic(self, node: Node, state: State) -> None:
        """`$((COUNT++))` changes COUNT."""
        if "$((" not in self.text[node.start_byte : node.end_byte]:
            return
        at = self.text.find("$((", node.start_byte, node.end_byte)
        while at >= 0:
            end = max(self.closers.get(at, at), at + 3)
            state.forget(arithmetic_names(self.text[at:end]))
            at = self.text.find("$((", end, node.end_byte)

    def _apply(self, words: Sequence[ShellWord], state: State) -> None:
        """What a builtin does to variables and positional parameters."""
        while len(words) > 1 and words[0].text in ("builtin", "command", "time"):
            words = words[1:]
        name, arguments = words[0].text, [word.text for word in words[1:]]
        if name == "set":
            state.positional = _set_positional(arguments, state.positional)
        elif name == "shift":
            state.positional = _shifted(arguments, state.positional)
        elif name in ("exit", "return") or (name == "exec" and arguments):
            state.dead = True
        elif name in ("source", ".", "eval"):
            self.environment.complete = False
            for argument in arguments if name == "eval" else ():
                state.forget(matched[1] for matched in _ASSIGNMENT.finditer(argument or ""))
        elif name in READERS:
            for argument in arguments:
                state.forget(IDENTIFIER.findall(argument or ""))


def _range(node: Node) -> tuple[int, int]:
    return node.start_byte, node.end_byte


def _hidden_arguments(redirect: Node) -> list[Node]:
    """Words after a redirection's own operand, which the grammar takes for more operands."""
    if redirect.type == "heredoc_redirect":
        found = list(redirect.children_by_field_name("argument"))
        for inner in redirect.children_by_field_name("redirect"):
            found.extend(_hidden_arguments(inner))
        return found
    if redirect.type != "file_redirect":
        return []
    closes = any(child.type in (">&-", "<&-") for child in redirect.children)
    return redirect.children_by_field_name("destination")[0 if closes else 1 :]


def _shell_word(made: Field, start: int, end: int) -> ShellWord:
    if not made.known:
        return ShellWord(None, start, end, ())
    return ShellWord("".join(made.chars), start, end, tuple(made.offsets), tuple(made.sources))


def _appended(before: Value, value: Value) -> Value:
    """The value after `NAME+=value`."""
    if isinstance(before, Missing):
        return value if before is Missing.UNSET or isinstance(value, tuple) else None
    if before is None or value is None or isinstance(value, Missing):
        return None
    if isinstance(value, tuple):
        return (before, *value) if isinstance(before, str) else (*before, *value)
    return before + value if isinstance(before, str) else None


def _limited(value: Value) -> Value:
    """Forget a value that grew out of proportion."""
    if isinstance(value, tuple):
        length = sum(len(element or "") for element in value[: _MAX_ELEMENTS + 1])
        return value if len(value) <= _MAX_ELEMENTS and length <= MAX_VALUE else None
    return None if isinstance(value, str) and len(value) > MAX_VALUE else value


def _set_positional(
    arguments: list[str | None], positional: tuple[str | None, ...] | None
) -> tuple[str | None, ...] | None:
    """Positional parameters after `set arguments...`."""
    index = 0
    while index < len(arguments):
        argument = arguments[index]
        if argument is None:
            return None
        if argument == "--":
            index += 1
            break
        if len(argument) < 2 or argument[0] not in "+-":
            break
        # -o takes a name, also as the last letter of a cluster (-euo pipefail)
        index += 2 if argument.endswith("o") else 1
    else:
        return positional
    zeroth = positional[0] if positional else None
    return (zeroth, *arguments[index:])


def _shifted(
    arguments: list[str | None], positional: tuple[str | None, ...] | None
) -> tuple[str | None, ...] | None:
    """Positional parameters after `shift [count]`."""
    count = arguments[0] if arguments else "1"
    if positional is None or count is None or re.fullmatch(r"[0-9]{1,4}", count) is None:
        return None
    number = int(count)
    return (*positional[:1], *positional[1 + number :]) if number < len(positional) else positional
