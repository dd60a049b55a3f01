"""What another release makes of a server's environment variables."""

from __future__ import annotations

from collections.abc import Iterator

from vllmlint.facts.replacements import replacement_texts
from vllmlint.kube.env import EnvVar
from vllmlint.plans.upgrade_change import Change, Sides, accepted, reached
from vllmlint.serving.flag_tables import EnvSpec, EnvTable, FlagHistory, env_history, env_table, flag_table

#: From this release on an unknown `VLLM_*` name is warned about at start (vllm-command-line.md, section 4).
_WARNS_SINCE = "0.17.0"
_PREFIX = "VLLM_"
#: What a value reads as: a text to compare, `error` when vLLM raises, None when that cannot be told.
_ERROR = "error"


def env_changes(sides: Sides) -> Iterator[Change]:
    """Variables that the target no longer reads, reads for the first time, or reads differently."""
    after = env_table(sides.target)
    before = env_table(sides.source) if sides.source is not None else None
    for name, variable in sides.after.env.items():
        declared = after.get(name)
        if not after.knows(name):
            change = _gone(sides, variable, before)
        elif before is not None and not before.knows(name):
            change = _new(sides, variable, declared)
        else:
            change = _read_differently(sides, variable, before.get(name) if before else None, declared)
        if change is not None:
            yield change


def _gone(sides: Sides, variable: EnvVar, before: EnvTable | None) -> Change | None:
    """A variable that the source reads and the target does not."""
    name = variable.name
    history = env_history(name)
    if before is None:
        read = history is not None and history.removed_in is not None
    else:
        # A name that vLLM only mentions may be another program's and go on being read by that.
        read = name in before.declared or (name.startswith(_PREFIX) and name in before.mentioned)
    if not read:
        return None
    strict = sides.after.is_set("fail_on_environ_validation") and name.startswith(_PREFIX)
    if strict:
        after = "refused: --fail-on-environ-validation stops at an unknown variable"
    elif history is not None and history.removed_in and reached(sides.target, history.removed_in):
        after = f"not read: removed in {history.removed_in}"
    else:
        after = "not read"
    warned = reached(sides.target, _WARNS_SINCE) and name.startswith(_PREFIX) and not strict
    return Change(
        "env",
        name,
        _text(variable),
        after,
        strict,
        _replacement(sides, variable, history),
        variable.name_node.content,
        "vLLM warns of an unknown variable at start" if warned else None,
    )


def _new(sides: Sides, variable: EnvVar, declared: EnvSpec | None) -> Change | None:
    """A variable that only the target reads."""
    if declared is None or variable.value is None:
        return None
    reads = reading(declared, variable.value)
    place = (variable.value_node or variable.name_node).content
    if reads == _ERROR:
        return Change("env", variable.name, "not read", _refusal(declared), True, None, place)
    return Change("env", variable.name, "not read", f"read: {_text(variable)}", place=place)


def _read_differently(
    sides: Sides, variable: EnvVar, before: EnvSpec | None, after: EnvSpec | None
) -> Change | None:
    """A variable that both releases read."""
    if after is None or variable.value is None or (sides.source is not None and before is None):
        return None
    now = reading(after, variable.value)
    was = reading(before, variable.value) if before is not None else None
    if now is None or now == was or (sides.source is None and now != _ERROR):
        return None
    if was is None and now != _ERROR:
        return None
    if before is not None and before.type != after.type and now != _ERROR:
        # The tables describe it in another way; that says nothing of what vLLM reads.
        return None
    place = (variable.value_node or variable.name_node).content
    text = _text(variable)
    if now == _ERROR:
        return Change("env", variable.name, text, _refusal(after), True, _spelling(after, was), place)
    if was == _ERROR:
        return Change("env", variable.name, "refused", f"read as {now}", place=place)
    return Change("env", variable.name, f"{text}: read as {was}", f"read as {now}", place=place)


def reading(spec: EnvSpec, value: str) -> str | None:
    """What a release reads a value as: `true`, `false`, a normal form, or `error`; None if not known."""
    if spec.type == "bool":
        for answer, spellings in (("true", spec.true), ("false", spec.false), (_ERROR, spec.error)):
            if value in spellings:
                return answer
        return None
    if spec.getter or not value:
        return None
    if spec.type in ("int", "float"):
        try:
            return str(int(value) if spec.type == "int" else float(value))
        except ValueError:
            return _ERROR
    if spec.type == "choice" and spec.choices:
        known = {str(each) if spec.case_sensitive else str(each).lower() for each in spec.choices}
        return value if (value if spec.case_sensitive else value.lower()) in known else _ERROR
    return value


def _refusal(spec: EnvSpec) -> str:
    if spec.type == "choice":
        return f"refused: choose from {', '.join(map(str, spec.choices))}"
    wanted = {"bool": "1 or 0 is wanted", "int": "a whole number is wanted", "float": "a number is wanted"}
    return f"refused: {wanted.get(spec.type, 'the value is not taken')}"


def _spelling(spec: EnvSpec, was: str | None) -> str | None:
    """The same boolean in a spelling that the target takes."""
    spellings = {"true": spec.true, "false": spec.false}.get(was or "", ())
    return f'"{spellings[0]}"' if spec.type == "bool" and spellings else None


def _text(variable: EnvVar) -> str:
    return variable.value if variable.value is not None else f"from a {variable.source}"


def _replacement(sides: Sides, variable: EnvVar, history: FlagHistory | None) -> str | None:
    """What to write instead: a reviewed text that the target takes, else what vLLM's own texts name."""
    for text in replacement_texts("env", variable.name, variable.value):
        if accepted(text, sides.after):
            return text
    if history is None:
        return None
    if history.replacement is not None:
        return history.replacement
    if history.replacement_field is not None:
        spec = flag_table(sides.target).get(history.replacement_field)
        return spec.name if spec is not None else None
    return None
