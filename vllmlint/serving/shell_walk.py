"""Reading the commands of a shell script in order, with what its variables hold at each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from vllmlint.record import record, replace
from vllmlint.serving.shell_commands import CommandReader, ShellCommand
from vllmlint.serving.shell_facts import Facts, arithmetic_names
from vllmlint.serving.shell_state import Environment, State

if TYPE_CHECKING:
    from tree_sitter import Node

_MAX_DEPTH = 50
_TESTS = frozenset({"[", "false", "grep", "test", "which"})


@record
class Context:
    """Under what circumstances a statement runs."""

    tail: bool = True
    """Nothing of the script runs after it."""
    conditional: bool = False
    piped: bool = False
    background: bool = False
    in_function: bool = False
    in_subshell: bool = False


class Walker:
    """Collects the commands of one script."""

    def __init__(self, text: str, facts: Facts, environment: Environment) -> None:
        self.text = text
        self.facts = facts
        self.reader = CommandReader(text, facts.closers, environment)
        self.commands: list[ShellCommand] = []
        self.depth = 0
        self._readers: Mapping[str, Callable[[Node, Context, State], None]] = {
            "command": self._command,
            "declaration_command": self._command,
            "unset_command": self._command,
            "variable_assignment": self._assignment,
            "variable_assignments": self._assignments,
            "redirected_statement": self._redirected,
            "list": self._list,
            "pipeline": self._pipeline,
            "negated_command": self._body,
            "subshell": self._subshell,
            "compound_statement": self._compound,
            "do_group": self._body,
            "else_clause": self._body,
            "if_statement": self._if,
            "while_statement": self._while,
            "for_statement": self._for,
            "c_style_for_statement": self._for,
            "case_statement": self._case,
            "function_definition": self._function,
            "ERROR": self._error,
        }

    def statements(self, nodes: Sequence[Node], context: Context, state: State) -> None:
        """Read statements that run one after the other; other nodes between them are ignored."""
        found = [index for index, node in enumerate(nodes) if self._is_statement(node)]
        for index in found:
            background = index + 1 < len(nodes) and nodes[index + 1].type == "&"
            inner = replace(context, tail=context.tail and index == found[-1])
            if background:
                self.statement(nodes[index], replace(inner, background=True), state.layer())
            else:
                self.statement(nodes[index], inner, state)

    def _is_statement(self, node: Node) -> bool:
        if node.type == "ERROR":
            return bool(self.text[node.start_byte : node.end_byte].strip("\\ \t\n"))
        return node.type in self._readers or node.type == "test_command"

    def statement(self, node: Node, context: Context, state: State) -> None:
        """Read one statement of any kind."""
        reader = self._readers.get(node.type)
        if reader is None:
            return
        if self.depth >= _MAX_DEPTH:
            self.facts.errors.append((node.start_byte, node.end_byte))
            return
        self.depth += 1
        reader(node, context, state)
        self.depth -= 1

    def _command(self, node: Node, context: Context, state: State, extra: Sequence[Node] = ()) -> None:
        read = self.reader.declaration if node.type != "command" else self.reader.command
        command = read(node, extra, state)
        if command is None:
            return
        replaces = len(command.words) > 1 and command.words[0].text == "exec"
        apart = context.in_subshell or context.piped or context.background
        self.commands.append(
            replace(
                command,
                is_last=context.tail or (replaces and not apart),
                conditional=context.conditional,
                piped=context.piped,
                background=context.background,
                in_function=context.in_function,
                in_subshell=context.in_subshell,
            )
        )

    def _assignment(self, node: Node, context: Context, state: State) -> None:
        self.reader.assign(node, state)

    def _assignments(self, node: Node, context: Context, state: State) -> None:
        for child in node.children:
            if child.type == "variable_assignment":
                self.reader.assign(child, state)

    def _body(self, node: Node, context: Context, state: State) -> None:
        self.statements(node.children, context, state)

    def _error(self, node: Node, context: Context, state: State) -> None:
        self.statements(node.children, replace(context, tail=False), state)

    def _subshell(self, node: Node, context: Context, state: State) -> None:
        self.statements(node.children, replace(context, in_subshell=True), state.layer())

    def _compound(self, node: Node, context: Context, state: State) -> None:
        if node.children and node.children[0].type == "((":
            state.forget(arithmetic_names(self.text[node.start_byte : node.end_byte]))
            return
        self._body(node, context, state)

    def _redirected(self, node: Node, context: Context, state: State) -> None:
        """A statement with redirections; what follows `<<EOF` on its line is kept inside the redirection."""
        body = node.child_by_field_name("body")
        redirects = node.children_by_field_name("redirect")
        following: list[tuple[str, Node]] = []
        for redirect in redirects:
            if redirect.type == "heredoc_redirect":
                following.extend(_after_heredoc(redirect))
        piped = any(operator == "|" for operator, _ in following)
        first = replace(context, tail=context.tail and (piped or not following), piped=context.piped or piped)
        if body is not None and body.type == "command":
            self._command(body, first, state, redirects)
        elif body is not None:
            self.statement(body, first, state)
        for operator, right in following:
            if operator == "|":
                self._pipeline(right, context, state)
            else:
                self._right_side(operator, body, right, context, state)

    def _list(self, node: Node, context: Context, state: State) -> None:
        """`a && b || c`, which the grammar nests to the left."""
        rest: list[tuple[str, Node]] = []
        while node.type == "list":
            parts = [child for child in node.children if self._is_statement(child)]
            operator = next((child.type for child in node.children if child.type in ("&&", "||")), "&&")
            if not parts:
                return
            rest.extend((operator, part) for part in reversed(parts[1:]))
            node = parts[0]
        self.statement(node, replace(context, tail=context.tail and not rest), state)
        guarded, left = False, node
        for operator, right in reversed(rest):
            guarded = operator == "&&" and (guarded or self._is_test(left))
            inner = replace(context, tail=context.tail and right is rest[0][1])
            self._right_side("||" if guarded else operator, left, right, inner, state)
            left = right

    def _right_side(
        self, operator: str, left: Node | None, right: Node, context: Context, state: State
    ) -> None:
        """The right side of `&&` is taken to run unless the left side is a test: commands mostly succeed."""
        if operator == "&&" and not (left is not None and self._is_test(left)):
            self.statement(right, context, state)
            return
        branch = state.layer()
        self.statement(right, replace(context, conditional=True), branch)
        state.merge([state.layer(), branch])

    def _is_test(self, node: Node) -> bool:
        if node.type == "command":
            name = node.child_by_field_name("name")
            return name is not None and self.text[name.start_byte : name.end_byte] in _TESTS
        if node.type == "compound_statement":
            return bool(node.children) and node.children[0].type == "(("
        return node.type in ("test_command", "negated_command")

    def _pipeline(self, node: Node, context: Context, state: State) -> None:
        for child in node.children:
            if self._is_statement(child):
                self.statement(child, replace(context, piped=True), state.layer())

    def _if(self, node: Node, context: Context, state: State) -> None:
        condition, body, clauses = _if_parts(node)
        self.statements(condition, replace(context, tail=False), state)
        inner = replace(context, conditional=True)
        branches = [state.layer()]
        self.statements(body, inner, branches[0])
        has_else = False
        for clause in clauses:
            branch = state.layer()
            branches.append(branch)
            if clause.type == "else_clause":
                has_else = True
                self.statement(clause, inner, branch)
                continue
            condition, body, _ = _if_parts(clause)
            self.statements(condition, replace(inner, tail=False), branch)
            # a later branch may run after this condition
            state.forget(branch.local)
            self.statements(body, inner, branch)
        state.merge(branches if has_else else [*branches, state.layer()])

    def _while(self, node: Node, context: Context, state: State) -> None:
        loop = state.layer((node.start_byte, node.end_byte))
        condition = [child for child in node.children if child.type != "do_group"]
        self.statements(condition, replace(context, tail=False), loop)
        self._loop_body(node, context, state, loop)

    def _for(self, node: Node, context: Context, state: State) -> None:
        loop = state.layer((node.start_byte, node.end_byte))
        variable = node.child_by_field_name("variable")
        if variable is not None:
            loop.assign(self.text[variable.start_byte : variable.end_byte], None)
        else:
            body = node.child_by_field_name("body")
            end = node.end_byte if body is None else body.start_byte
            loop.forget(arithmetic_names(self.text[node.start_byte : end]))
        self._loop_body(node, context, state, loop)

    def _loop_body(self, node: Node, context: Context, state: State, loop: State) -> None:
        body = node.child_by_field_name("body")
        if body is not None:
            self.statement(body, replace(context, tail=False, conditional=True), loop)
        # the body may have run in part (`break`), or not at all
        state.forget(loop.local)
        if loop.positional != state.positional:
            state.positional = None

    def _case(self, node: Node, context: Context, state: State) -> None:
        branches: list[State] = []
        default = fell = False
        for item in node.children:
            if item.type != "case_item":
                continue
            patterns = item.children_by_field_name("value")
            default |= any(self.text[p.start_byte : p.end_byte] == "*" for p in patterns)
            branch = state.layer()
            falls = item.child_by_field_name("fallthrough") is not None
            if fell:
                branch.merge([state.layer(), branches[-1]])
            body = [child for child in item.children if child not in patterns]
            self.statements(body, replace(context, conditional=True, tail=context.tail and not falls), branch)
            branches.append(branch)
            fell = falls
        state.merge(branches if default else [*branches, state.layer()])

    def _function(self, node: Node, context: Context, state: State) -> None:
        body = node.child_by_field_name("body")
        if body is None:
            return
        inner = replace(context, tail=False, conditional=True, in_function=True)
        self.statement(body, inner, state.function_layer(node.start_byte, len(self.text)))


def _if_parts(node: Node) -> tuple[list[Node], list[Node], list[Node]]:
    """Condition, body and further clauses of an `if` or `elif`."""
    condition: list[Node] = []
    body: list[Node] = []
    clauses: list[Node] = []
    current = condition
    for child in node.children:
        if child.type == "then":
            current = body
        elif child.type in ("elif_clause", "else_clause"):
            clauses.append(child)
        else:
            current.append(child)
    return condition, body, clauses


def _after_heredoc(redirect: Node) -> list[tuple[str, Node]]:
    """Operator and statement of `cat <<EOF | tee x` or `cat <<EOF && next`."""
    operator = redirect.child_by_field_name("operator")
    kind = "&&" if operator is None else operator.type
    found = [(kind, right) for right in redirect.children_by_field_name("right")]
    found.extend(("|", child) for child in redirect.children if child.type == "pipeline")
    return found
