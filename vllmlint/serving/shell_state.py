"""What a shell script's variables are known to hold at one point of it.

Branches are layers: a branch starts as an empty layer over the state it was entered with and is merged back
when it ends. What differs between branches is unknown afterwards.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import field
from enum import Enum
from typing import TypeAlias

from vllmlint.record import mutable


class Missing(Enum):
    """Why a variable has no value."""

    UNSET = "unset"
    """The script itself unset it."""
    ABSENT = "absent"
    """Nothing in the script or in the given environment sets it; the image still may."""


Value: TypeAlias = str | tuple[str | None, ...] | Missing | None
"""A variable's value: text, an array, None for a value that is not known, or why there is none."""

MANY_FUNCTIONS = -1
"""Owner of a name that more than one function assigns."""

_SHELL_NAMES = frozenset({"LINENO", "OLDPWD", "PWD", "RANDOM", "SECONDS"})
# Set by base images, runtimes, Kubernetes and LeaderWorkerSet although the container's env does not say so.
_RUNTIME_NAMES = frozenset({"HOME", "HOSTNAME", "JOB_COMPLETION_INDEX", "LD_LIBRARY_PATH", "PATH", "USER"})
_RUNTIME_PREFIXES = ("CUDA_", "KUBERNETES_", "LWS_", "NVIDIA_")
_RUNTIME_SUFFIXES = ("_SERVICE_HOST", "_SERVICE_PORT")


@mutable
class ScriptNames:
    """Where a script assigns each name, for what a loop or a later function call may have changed."""

    positions: dict[str, list[int]] = field(default_factory=dict)
    """Name to the ascending offsets of its assignments."""
    owners: dict[str, int] = field(default_factory=dict)
    """Name to the function (its offset) that assigns the global variable."""

    def add(self, name: str, position: int, function: int | None) -> None:
        """Record one assignment; `function` is None outside functions and for local variables."""
        self.positions.setdefault(name, []).append(position)
        if function is not None and self.owners.setdefault(name, function) != function:
            self.owners[name] = MANY_FUNCTIONS

    def finish(self) -> None:
        """Put the offsets in order, once all are recorded."""
        for positions in self.positions.values():
            positions.sort()

    def assigned_within(self, name: str, start: int, end: int) -> bool:
        """Whether the script's text in [start, end) assigns the name."""
        positions = self.positions.get(name)
        if positions is None:
            return False
        first = bisect_left(positions, start)
        return first < len(positions) and positions[first] < end


@mutable
class Environment:
    """What is known before the script starts, and whether more may be set than is known."""

    values: Mapping[str, str | None]
    complete: bool
    """Cleared once the script reads settings from elsewhere (`source`, `eval`)."""

    def takes_default(self, name: str) -> bool:
        """Whether `${NAME:-default}` of a name that nothing sets may be read as its default."""
        return (
            self.complete
            and name not in _RUNTIME_NAMES
            and not name.startswith(_RUNTIME_PREFIXES)
            and not name.endswith(_RUNTIME_SUFFIXES)
        )


class State:
    """Variables and positional parameters at one point, as a layer over an earlier state."""

    __slots__ = ("dead", "environment", "function", "local", "names", "parent", "positional", "volatile")

    def __init__(
        self,
        names: ScriptNames,
        environment: Environment,
        positional: tuple[str | None, ...] | None,
    ) -> None:
        self.names = names
        self.environment = environment
        self.positional = positional
        self.parent: State | None = None
        self.local: dict[str, Value] = {}
        self.volatile: tuple[int, int] | None = None
        self.function: int | None = None
        self.dead = False

    def layer(self, volatile: tuple[int, int] | None = None) -> State:
        """A branch that starts here; names assigned in the script's `volatile` range are unknown in it."""
        child = State(self.names, self.environment, self.positional)
        child.parent = self
        child.volatile = volatile
        child.function = self.function
        return child

    def function_layer(self, start: int, end: int) -> State:
        """The body of a function defined at `start`; what is assigned from there on is unknown in it."""
        child = self.layer((start, end))
        child.function = start
        child.positional = None
        return child

    def lookup(self, name: str) -> Value:
        """The variable's value here."""
        if name in _SHELL_NAMES:
            return None
        owner = self.names.owners.get(name)
        # Functions are not followed, so a name that another function assigns may change at any call.
        if owner is not None and owner != self.function:
            return None
        state: State | None = self
        while state is not None:
            if name in state.local:
                return state.local[name]
            if state.volatile is not None and self.names.assigned_within(name, *state.volatile):
                return None
            state = state.parent
        return self.environment.values.get(name, Missing.ABSENT)

    def assign(self, name: str, value: Value) -> None:
        """Set a variable."""
        self.local[name] = value

    def forget(self, names: Iterable[str]) -> None:
        """Make variables unknown."""
        for name in names:
            self.local[name] = None

    def merge(self, branches: list[State]) -> None:
        """Continue after branches of which exactly one ran; those that ended the script do not count."""
        alive = [branch for branch in branches if not branch.dead]
        if not alive:
            self.dead = True
            return
        # a dict keeps the order of assignment, which makes results reproducible
        names = dict.fromkeys(name for branch in alive for name in branch.local)
        for name in names:
            before = self.lookup(name)
            values = [branch.local.get(name, before) for branch in alive]
            self.local[name] = values[0] if all(value == values[0] for value in values) else None
        positional = alive[0].positional
        self.positional = positional if all(b.positional == positional for b in alive) else None
