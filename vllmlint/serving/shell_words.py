"""Shell words: quote removal and the expansion of what is statically known.

The grammar says where words and substitutions begin and end; the characters between are read here, because
every character of the result must remember where in the script it came from.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from vllmlint.record import record
from vllmlint.regex import regex
from vllmlint.serving.shell_ansi import read_escape
from vllmlint.serving.shell_fields import BLANKS, Field, Fields
from vllmlint.serving.shell_state import Missing, State, Value

_NAME = regex(r"[A-Za-z_][A-Za-z0-9_]*")
_PARAMETER = regex(r"([A-Za-z_][A-Za-z0-9_]*|[0-9]+|[@*])(?:\[([^\]\s]*)\])?(:?[-=+?])?")
_CONTINUED_NAME = regex(r"(?:\\\n)+[A-Za-z0-9_]")
_SPECIALS = "#?$!-"
_MAX_NESTING = 16
MAX_VALUE = 1 << 16
"""Longest value kept: a script can double a variable on every line."""
_MAX_EXPANDED = 1 << 21


@record
class _Parameter:
    """One parsed `$NAME` or `${NAME...}`."""

    name: str
    index: str | None
    operator: str
    default: tuple[int, int]
    source: tuple[int, int]


class WordReader:
    """Reads ranges of one script as words."""

    def __init__(self, text: str, closers: Mapping[int, int]) -> None:
        self.text = text
        self.closers = closers
        """Start of each command, process and arithmetic substitution to its end."""
        self.budget = _MAX_EXPANDED

    def words(self, start: int, end: int, state: State) -> list[Field]:
        """The words that a range expands to, as an argument of a command."""
        return self._read(start, end, state, split=True)

    def value(self, start: int, end: int, state: State) -> Field:
        """The range as one word, the way the right side of an assignment is read."""
        fields = self._read(start, end, state, split=False)
        return fields[0] if fields else Field(present=True)

    def _read(self, start: int, end: int, state: State, *, split: bool) -> list[Field]:
        out = Fields(split)
        self._scan(out, start, end, state, 0)
        return out.result()

    def _scan(self, out: Fields, start: int, end: int, state: State, nesting: int) -> None:
        """Read unquoted text."""
        at = start
        while at < end:
            char = self.text[at]
            if char == "\\":
                at = self._escape(out, at, end)
            elif char == "'":
                at = self._single(out, at, end)
            elif char == '"':
                at = self._double(out, at + 1, end, state, nesting)
            elif char == "$" and self.text.startswith("$'", at):
                at = self._ansi(out, at, end)
            elif char == "$" and self.text.startswith('$"', at):
                at += 1
            elif char == "$":
                at = self._dollar(out, at, end, state, nesting, quoted=False)
            elif at in self.closers:
                out.unknown()
                at = self.closers[at]
            elif char == "`":
                at = self._give_up(out, end)
            elif char == "~" and (at == start or (out.split and self.text[at - 1] in BLANKS)):
                self._tilde(out, at, end, state)
                at += 1
            else:
                self._plain(out, at)
                at += 1

    def _plain(self, out: Fields, at: int) -> None:
        """One unquoted character that stands for itself, or parts words."""
        char = self.text[at]
        if char in BLANKS and out.split:
            out.cut()
            return
        if out.split and char in "{,.}":
            made = out.field()
            if char == "{":
                made.brace = 1
            elif made.brace == 1 and (char == "," or (char == "." and self.text[at - 1] == ".")):
                made.brace = 2
            elif char == "}":
                made.known = made.known and made.brace != 2
                made.brace = 0
        out.add(char, at, (at, at + 1))

    def _tilde(self, out: Fields, at: int, end: int, state: State) -> None:
        home = state.lookup("HOME")
        following = self.text[at + 1 : end][:1]
        if following and following in "\"'$`\\":
            out.add("~", at, (at, at + 1))
            return
        if not isinstance(home, str) or (following and following not in "/ \t\n"):
            out.unknown()
            return
        for char in home:
            out.add(char, at, (at, at + 1))

    def _escape(self, out: Fields, at: int, end: int) -> int:
        if at + 1 >= end:
            out.add("\\", at, (at, at + 1))
        elif self.text[at + 1] != "\n":
            out.add(self.text[at + 1], at + 1, (at, at + 2))
        return at + 2

    def _single(self, out: Fields, at: int, end: int) -> int:
        close = self.text.find("'", at + 1, end)
        if close < 0:
            return self._give_up(out, end)
        out.field().present = True
        for index in range(at + 1, close):
            out.add(self.text[index], index, (index, index + 1))
        return close + 1

    def _ansi(self, out: Fields, at: int, end: int) -> int:
        out.field().present = True
        at += 2
        while at < end and self.text[at] != "'":
            value, after = read_escape(self.text, at, end)
            if value is None:
                out.unknown()
            for char in value or "":
                out.add(char, after - 1 if char == self.text[after - 1] else at, (at, after))
            at = after
        return at + 1 if at < end else self._give_up(out, end)

    def _double(self, out: Fields, start: int, end: int, state: State, nesting: int) -> int:
        """Read from after a `"` to after the closing one."""
        at = start
        if self.text.startswith('"', at):
            out.field().present = True
        while at < end and self.text[at] != '"':
            at = self._in_quotes(out, at, end, state, nesting)
        return at + 1 if at < end else self._give_up(out, end)

    def _in_quotes(self, out: Fields, at: int, end: int, state: State, nesting: int) -> int:
        """One step inside double quotes."""
        char = self.text[at]
        if char == "$":
            return self._dollar(out, at, end, state, nesting, quoted=True)
        out.field().present = True
        if char == "`":
            out.unknown()
            return self.closers.get(at, end)
        if char == "\\" and at + 1 < end and self.text[at + 1] in '$`"\\\n':
            if self.text[at + 1] != "\n":
                out.add(self.text[at + 1], at + 1, (at, at + 2))
            return at + 2
        out.add(char, at, (at, at + 1))
        return at + 1

    def _give_up(self, out: Fields, end: int) -> int:
        """The rest cannot be read: something opens in it and does not close."""
        out.unknown()
        return end

    def _dollar(self, out: Fields, at: int, end: int, state: State, nesting: int, *, quoted: bool) -> int:
        following = self.text[at + 1 : at + 2] if at + 1 < end else ""
        if following in ("(", "["):
            out.unknown()
            return min(self.closers.get(at, end), end)
        if following == "{":
            return self._braced(out, at, end, state, nesting, quoted=quoted)
        name = _NAME.match(self.text, at + 1, end)
        if name is not None:
            after = name.end()
            if _CONTINUED_NAME.match(self.text, after, end):
                # the shell joins lines before it reads names
                return self._give_up(out, end)
        elif following and following in "0123456789@*":
            after = at + 2
        elif following and following in _SPECIALS:
            out.unknown()
            return at + 2
        else:
            out.field().present = True
            out.add("$", at, (at, at + 1))
            return at + 1
        parameter = _Parameter(self.text[at + 1 : after], None, "", (after, after), (at, after))
        self._expand(out, parameter, state, nesting, quoted=quoted)
        return after

    def _braced(self, out: Fields, at: int, end: int, state: State, nesting: int, *, quoted: bool) -> int:
        close = self._brace_end(at + 2, end, quoted=quoted) if nesting < _MAX_NESTING else -1
        if close < 0:
            return self._give_up(out, end)
        matched = _PARAMETER.match(self.text, at + 2, close)
        if matched is None or (matched[3] is None and matched.end() != close):
            out.unknown()
            return close + 1
        default = (matched.end(), close)
        parameter = _Parameter(matched[1], matched[2], matched[3] or "", default, (at, close + 1))
        self._expand(out, parameter, state, nesting, quoted=quoted)
        return close + 1

    def _brace_end(self, at: int, end: int, *, quoted: bool) -> int:
        """Offset of the `}` that closes a `${`, or -1."""
        depth, inside = 1, False
        while at < end:
            char = self.text[at]
            if char == "\\":
                at += 2
            elif char == "'" and not quoted and not inside:
                at = self.text.find("'", at + 1, end) + 1
                if not at:
                    return -1
            elif at in self.closers:
                at = self.closers[at]
            elif self.text.startswith("${", at):
                depth += 1
                at += 2
            else:
                inside ^= char == '"'
                depth -= char == "}" and not inside
                if not depth:
                    return at
                at += 1
        return -1

    def _expand(
        self, out: Fields, parameter: _Parameter, state: State, nesting: int, *, quoted: bool
    ) -> None:
        if parameter.name in "@*" or parameter.index in ("@", "*"):
            self._expand_list(out, parameter, state, nesting, quoted=quoted)
            return
        if quoted:
            out.field().present = True
        value = _scalar(parameter, state)
        operator, colon = parameter.operator[-1:], parameter.operator.startswith(":")
        if value is Missing.ABSENT:
            settled = operator in ("-", "=") and state.environment.takes_default(parameter.name)
            value = Missing.UNSET if settled else None
        if value is None:
            out.unknown()
            return
        empty = value is Missing.UNSET or (colon and value == "")
        if operator == "+":
            if not empty:
                self._default(out, parameter, state, nesting, quoted=quoted)
        elif not operator or not empty:
            text = value if isinstance(value, str) else ""
            self._emit(out, text, parameter.source, state, quoted=quoted)
        elif operator == "?":
            out.unknown()
        else:
            if operator == "=":
                state.assign(parameter.name, self.value(*parameter.default, state).text)
            self._default(out, parameter, state, nesting, quoted=quoted)

    def _default(
        self, out: Fields, parameter: _Parameter, state: State, nesting: int, *, quoted: bool
    ) -> None:
        """The word after `:-` or `:+`."""
        at, end = parameter.default
        if not quoted:
            self._scan(out, at, end, state, nesting + 1)
            return
        while at < end:
            # quotes inside a quoted expansion are removed and end nothing
            at = at + 1 if self.text[at] == '"' else self._in_quotes(out, at, end, state, nesting + 1)

    def _expand_list(
        self, out: Fields, parameter: _Parameter, state: State, nesting: int, *, quoted: bool
    ) -> None:
        values = _values(parameter, state)
        if parameter.operator in ("-", ":-") and values == ():
            self._default(out, parameter, state, nesting, quoted=quoted)
            return
        joined = quoted and "*" in (parameter.name, parameter.index)
        if joined:
            out.field().present = True
        if values is None or parameter.operator or ((joined or not out.split) and _splits_oddly(state)):
            out.unknown()
            return
        for index, value in enumerate(values):
            if index and (joined or not out.split):
                out.add(" ", parameter.source[0], parameter.source)
            elif index:
                out.cut()
            if quoted:
                out.field().present = True
            self._emit(out, value, parameter.source, state, quoted=quoted)

    def _emit(
        self, out: Fields, value: str | None, source: tuple[int, int], state: State, *, quoted: bool
    ) -> None:
        """Add a variable's value, split at blanks where the shell splits it."""
        splits = out.split and not quoted
        self.budget -= len(value or "") + 1
        if value is None or self.budget < 0 or (splits and _splits_oddly(state)):
            out.unknown()
            return
        for char in value:
            if splits and char in BLANKS:
                out.cut()
            else:
                out.add(char, source[0], source)


def _splits_oddly(state: State) -> bool:
    """Whether the script changes what separates words."""
    return state.lookup("IFS") is not Missing.ABSENT


def _scalar(parameter: _Parameter, state: State) -> str | Missing | None:
    """The single value that a parameter names."""
    if parameter.name.isdigit():
        values, index = state.positional, int(parameter.name[:6])
    else:
        value = state.lookup(parameter.name)
        if not isinstance(value, tuple):
            return value if parameter.index in (None, "0") else None
        if parameter.index is not None and not re.fullmatch(r"[0-9]{1,6}", parameter.index):
            return None
        values, index = value, int(parameter.index or 0)
    if values is None or (parameter.name == "0" and not values):
        return None
    return values[index] if index < len(values) else Missing.UNSET


def _values(parameter: _Parameter, state: State) -> Sequence[str | None] | None:
    """The values of `$@` or an array, None when not known."""
    if parameter.index is None:
        return None if state.positional is None else state.positional[1:]
    value: Value = state.lookup(parameter.name)
    if isinstance(value, tuple):
        return value
    if isinstance(value, str):
        return (value,)
    return () if value is Missing.UNSET else None
