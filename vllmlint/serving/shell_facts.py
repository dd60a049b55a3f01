"""One pass over a script's syntax tree for what must be known before its commands are read in order."""

from __future__ import annotations

import re
from dataclasses import field
from typing import TYPE_CHECKING

from vllmlint.record import mutable
from vllmlint.regex import regex
from vllmlint.serving.shell_state import ScriptNames

if TYPE_CHECKING:
    from tree_sitter import Node

IDENTIFIER = regex(r"[A-Za-z_][A-Za-z0-9_]*")
CONTINUATION = regex(r"(?:\\\n)*")
READERS = frozenset({"getopts", "let", "mapfile", "printf", "read", "readarray"})
"""Commands that set variables named by their arguments."""
_SUBSTITUTIONS = frozenset({"arithmetic_expansion", "command_substitution", "process_substitution"})
_ASSIGNS = regex(r"(?<![=!<>])=(?!=)|\+\+|--")
_BLANK = regex(r"(?:\s|\\\n|\\\Z)*")


@mutable
class Facts:
    """What the pass finds."""

    names: ScriptNames = field(default_factory=ScriptNames)
    closers: dict[int, int] = field(default_factory=dict)
    """Start of each outermost substitution to its end."""
    errors: list[tuple[int, int]] = field(default_factory=list)


def arithmetic_names(text: str) -> list[str]:
    """Variables that an arithmetic expression may assign."""
    return IDENTIFIER.findall(text) if _ASSIGNS.search(text) else []


def collect(root: Node, text: str) -> Facts:
    """Walk the whole tree; offsets of the nodes are offsets of `text`."""
    facts = Facts()
    # the second part is the function around a node, the third whether an error around it is recorded
    stack: list[tuple[Node, int | None, bool]] = [(root, None, False)]
    while stack:
        node, function, reported = stack.pop()
        if (node.is_error or node.is_missing) and not reported:
            reported = _report(facts, node, text)
        kind = node.type
        if kind in _SUBSTITUTIONS:
            _substitution(facts, node, text, function)
            continue
        if kind == "heredoc_body":
            continue
        if kind == "function_definition":
            function = node.start_byte
        _names(facts.names, node, text, function)
        stack.extend(
            (child, function, reported) for child in node.children if child.child_count or _leaf(child)
        )
    facts.names.finish()
    facts.errors.sort()
    return facts


def _leaf(node: Node) -> bool:
    return node.is_error or node.is_missing


def _report(facts: Facts, node: Node, text: str) -> bool:
    """Record an error unless it covers only blanks, which is how a trailing continuation is read."""
    blank = node.is_error and _BLANK.fullmatch(text, node.start_byte, node.end_byte) is not None
    if not blank:
        facts.errors.append((node.start_byte, node.end_byte))
    return not blank


def _substitution(facts: Facts, node: Node, text: str, function: int | None) -> None:
    first = node.children[0] if node.children else node
    # the opening token sometimes takes the blanks before it along
    opening = first.end_byte - len(first.type.strip()) if node.children else node.start_byte
    facts.closers[opening] = node.end_byte
    if node.has_error:
        facts.errors.append((node.start_byte, node.end_byte))
    if node.type == "arithmetic_expansion":
        for name in arithmetic_names(text[node.start_byte : node.end_byte]):
            facts.names.add(name, node.start_byte, function)


def _names(names: ScriptNames, node: Node, text: str, function: int | None) -> None:
    """Record what one node assigns."""
    kind, start = node.type, node.start_byte
    if kind in ("program", "list", "declaration_command", "variable_assignments") or kind in _BODIES:
        keyword = node.children[0].type if kind == "declaration_command" and node.children else ""
        # a function's local variables are not seen outside it
        owner = None if keyword in ("local", "declare", "typeset") else function
        for child in node.children:
            _assigned(names, child, text, owner)
    elif kind == "command":
        _read_names(names, node, text, function)
    elif kind in ("for_statement", "unset_command"):
        for child in node.children:
            if child.type == "variable_name":
                names.add(text[child.start_byte : child.end_byte], start, function)
    elif kind == "expansion":
        operator = node.child_by_field_name("operator")
        if operator is not None and operator.type in (":=", "="):
            found = IDENTIFIER.search(text, start, node.end_byte)
            if found is not None:
                names.add(found[0], start, function)
    elif kind == "c_style_for_statement":
        body = node.child_by_field_name("body")
        for name in arithmetic_names(text[start : body.start_byte if body else node.end_byte]):
            names.add(name, start, function)


_BODIES = frozenset(
    {
        "ERROR",
        "case_item",
        "compound_statement",
        "do_group",
        "elif_clause",
        "else_clause",
        "if_statement",
        "negated_command",
        "pipeline",
        "redirected_statement",
        "subshell",
        "while_statement",
    }
)


def _assigned(names: ScriptNames, node: Node, text: str, function: int | None) -> None:
    """Record a child of a list of statements or of a declaration, if it is an assignment."""
    if node.type == "variable_assignment":
        found = IDENTIFIER.match(text, node.start_byte, node.end_byte)
        if found is not None:
            names.add(found[0], node.start_byte, function)
    elif node.type == "variable_name":
        names.add(text[node.start_byte : node.end_byte], node.start_byte, function)
    elif node.type == "compound_statement" and text.startswith("((", node.start_byte):
        for name in arithmetic_names(text[node.start_byte : node.end_byte]):
            names.add(name, node.start_byte, function)
    elif node.type in ("string", "raw_string", "concatenation"):
        # export "NAME=value"
        found = re.compile(r"[\"']?([A-Za-z_][A-Za-z0-9_]*)=").match(text, node.start_byte, node.end_byte)
        if found is not None:
            names.add(found[1], node.start_byte, function)


def _read_names(names: ScriptNames, node: Node, text: str, function: int | None) -> None:
    name = node.child_by_field_name("name")
    if name is None or text[name.start_byte : name.end_byte] not in READERS:
        return
    for child in node.children[1:]:
        for found in IDENTIFIER.findall(text[child.start_byte : child.end_byte]):
            names.add(found, node.start_byte, function)
