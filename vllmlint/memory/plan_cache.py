"""Plans that several servers share: a plan depends on few of the arguments that a server is given.

Which ones is not listed anywhere: what a plan reads is noted while it is worked out. A request that agrees
with an earlier one in all that was read would read the same again, and come to the same plan.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from vllmlint.engine.config import EngineRequest
from vllmlint.memory.plan import MemoryPlan
from vllmlint.record import replace

_Key = tuple[frozenset[tuple[str, str]], frozenset[tuple[str, str]]]
Planner = Callable[[EngineRequest], MemoryPlan]
#: How many plans are kept: some 10 KiB each, so that a run of any size stays within a few MiB.
_AT_MOST = 512


class _Noted(Mapping[str, Any]):
    """Settings or variables that write down which of them were looked at, there or not."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values
        self.seen: set[str] = set()

    def __getitem__(self, name: str) -> Any:
        self.seen.add(name)
        return self._values[name]

    def get(self, name: str, default: Any = None) -> Any:
        """The value of a name; noted also where there is none."""
        self.seen.add(name)
        return self._values.get(name, default)

    def __contains__(self, name: object) -> bool:
        self.seen.add(str(name))
        return name in self._values

    def __iter__(self) -> Iterator[str]:
        raise TypeError("a plan reads settings by name: what it depends on could not be told otherwise")

    def __len__(self) -> int:
        raise TypeError("a plan reads settings by name: what it depends on could not be told otherwise")


class _Group:
    """The plans of requests for the same release, model and GPU."""

    def __init__(self, request: EngineRequest) -> None:
        #: kept, so that its id stays its own
        self.architecture = request.architecture
        #: the settings and the variables that any plan of the group read
        self.settings: set[str] = set()
        self.variables: set[str] = set()
        self.plans: dict[_Key, MemoryPlan] = {}
        self.requests: list[EngineRequest] = []

    def key(self, request: EngineRequest) -> _Key:
        """What a request says under the names that were read.

        Values are told apart by how they are written: 1, True and 1.0 are equal, and mean different things.
        """
        return (
            frozenset(
                [(name, repr(value)) for name, value in request.settings.items() if name in self.settings]
            ),
            frozenset([(name, value) for name, value in request.env.items() if name in self.variables]),
        )

    def add(self, request: EngineRequest, plan: MemoryPlan, settings: set[str], variables: set[str]) -> None:
        """Keep a plan and the names that it read; earlier plans are filed under those names too."""
        if not (settings <= self.settings and variables <= self.variables):
            earlier = list(self.plans.values())
            self.settings |= settings
            self.variables |= variables
            self.plans = {self.key(known): found for known, found in zip(self.requests, earlier, strict=True)}
        self.plans[self.key(request)] = plan
        self.requests.append(request)


class PlanCache:
    """Plans that were worked out, by everything they depend on."""

    def __init__(self) -> None:
        self._groups: dict[tuple[Any, ...], _Group] = {}
        self._count = 0

    def plan(self, request: EngineRequest, planner: Planner) -> MemoryPlan:
        """The plan that `planner` makes of a request; its config holds this very request."""
        architecture, release = request.architecture, request.release
        where = (planner, id(architecture), release.key, release.text, request.gpu, request.gpus_per_node)
        group = self._groups.get(where)
        found = group.plans.get(group.key(request)) if group is not None else None
        if found is None:
            settings, variables = _Noted(request.settings), _Noted(request.env)
            found = planner(replace(request, settings=settings, env=variables))
            if self._count >= _AT_MOST:
                self._groups.clear()
                self._count, group = 0, None
            if group is None:
                group = self._groups[where] = _Group(request)
            group.add(request, found, settings.seen, variables.seen)
            self._count += 1
        config = found.config
        return found if config is None else replace(found, config=replace(config, request=request))
