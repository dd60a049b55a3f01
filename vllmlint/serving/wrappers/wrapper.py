"""What a controller makes of an object of a wrapper kind, as the rest of the package sees it.

Loaded in every run, unlike the adapters: keep it small.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping as MappingType
from dataclasses import field
from typing import Any, Final, Literal

from vllmlint.kube.pods import Workload
from vllmlint.manifest.nodes import Scalar
from vllmlint.record import record
from vllmlint.serving.value import Origin
from vllmlint.serving.words import Word

EntryPoint = Literal["serve", "module"]
#: What a controller adds to a pod when the object does not say it.
Injection = Literal["probes", "shm", "gpu", "lifecycle", "grace-period", "volumes"]
ALL_INJECTIONS: Final[frozenset[Injection]] = frozenset(
    {"probes", "shm", "gpu", "lifecycle", "grace-period", "volumes"}
)


@record
class WordSource:
    """Where the words before index `end` (and after the source before it) come from."""

    end: int
    origin: Origin
    name: str


class Undecided:
    """The type of `UNDECIDED`."""

    def __repr__(self) -> str:
        """Its name."""
        return "UNDECIDED"


#: The value of a setting that the controller gives but the objects do not tell.
UNDECIDED: Final = Undecided()


@record
class Usual:
    """A setting that the controller gives in some of its versions, or that `reason` makes uncertain."""

    value: Any
    reason: str


@record
class StoredModel:
    """A model that the controller downloads to `path`, where vLLM finds it; `uri` names what it is."""

    path: str
    uri: Scalar


@record
class Engine:
    """A container that runs vLLM because its kind says so, whatever its image.

    `words` stand before the container's own `args`, and `sources` says which field each comes from.
    `entrypoint` None is the one of the release's image. `serves_http` is False when another process
    answers the clients, so that vLLM itself listens on no port of the API.
    """

    container: str
    words: tuple[Word, ...] = ()
    sources: tuple[WordSource, ...] = ()
    entrypoint: EntryPoint | None = None
    serves_http: bool = True


@record
class Wrapper:
    """What a controller makes of an object of its kind.

    `settings` are those it gives vLLM that no field spells out (a word of the command line wins);
    `injects` what it adds to the pod, so that nobody can be asked for it; `size` the pods of one
    serving group. `resolve` gives the value of a Go template expression that the controller fills
    in, None when it cannot be told. `keeps_entrypoint` is False when pods never run the image's own
    entrypoint.
    """

    controller: str
    engine: Engine | None = None
    settings: MappingType[str, Any] = field(default_factory=dict)
    injects: frozenset[Injection] = frozenset()
    size: int | None = None
    model: StoredModel | None = None
    resolve: Callable[[str], str | None] | None = None
    keeps_entrypoint: bool = True


def wrapper_of(workload: Workload) -> Wrapper | None:
    """The wrapper of a workload; None for pods that Kubernetes itself or LeaderWorkerSet makes."""
    return workload.wrapper if isinstance(workload.wrapper, Wrapper) else None
