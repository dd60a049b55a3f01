"""What a wrapper kind is to the rest: who makes its pods, what is added, which container is the engine."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from collections.abc import Mapping as MappingType
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from vllmlint.kube.index import Index
from vllmlint.kube.objects import KubeObject
from vllmlint.kube.pods import Workload
from vllmlint.manifest.nodes import Mapping, Node, Scalar
from vllmlint.serving.words import Word
from vllmlint.serving.wrappers.nodes import sequence_at, with_entries
from vllmlint.serving.wrappers.words import WordSource

EntryPoint = Literal["serve", "module"]
#: What a controller adds to a pod when the object does not say it.
Injection = Literal["probes", "shm", "gpu", "lifecycle", "grace-period", "volumes"]
ALL_INJECTIONS: Final[frozenset[Injection]] = frozenset(
    {"probes", "shm", "gpu", "lifecycle", "grace-period", "volumes"}
)

#: Images of other engines; a kind that serves with several may name one of them.
_OTHER_ENGINES = re.compile(
    r"sglang|tensorrt|trt-?llm|text-generation-inference|(^|[/-])tgi([:/-]|$)|ollama|triton|"
    r"hugging-?face-?server|lmdeploy|llama[._-]?cpp|faster-?whisper|infinity|mlserver|sklearn|openvino|omni"
)


class Undecided:
    """The type of `UNDECIDED`."""

    def __repr__(self) -> str:
        """Its name."""
        return "UNDECIDED"


#: The value of a setting that the controller gives but the objects do not tell.
UNDECIDED: Final = Undecided()


@dataclass(frozen=True, slots=True)
class Usual:
    """A setting that the controller gives in some of its versions, or that `reason` makes uncertain."""

    value: Any
    reason: str


@dataclass(frozen=True, slots=True)
class StoredModel:
    """A model that the controller downloads to `path`, where vLLM finds it; `uri` names what it is."""

    path: str
    uri: Scalar


@dataclass(frozen=True, slots=True)
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


@dataclass(frozen=True, slots=True)
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


class RunObjects:
    """What an adapter sees of the other objects of the run.

    `used` collects the templates (a runtime, a config) that another object of the run merges: they
    are judged in that object, not for themselves.
    """

    def __init__(self, index: Index) -> None:
        """Look things up in `index`."""
        self.index = index
        self.used: set[int] = set()

    def named(self, kind: str, name: str | None, seeker: KubeObject) -> KubeObject | None:
        """The object that `seeker` names; None when it is not in the run."""
        return self.index.named(kind, name, seeker) if name else None

    def nearby(self, kind: str, seeker: KubeObject) -> Iterator[KubeObject]:
        """The objects of a kind in sight of `seeker`, nearest first."""
        return self.index.nearby(kind, seeker)

    def config_text(self, name: str | None, key: str, seeker: KubeObject) -> Scalar | None:
        """The text under a key of a ConfigMap."""
        found = self.index.config_map_data(name, seeker) if name else None
        return found[1].get(key) if found is not None else None


def wrapped(obj: KubeObject, template: Mapping, spec: Mapping, wrapper: Wrapper, role: str = "") -> Workload:
    """A workload of a wrapper kind."""
    workload = Workload(obj, template, spec, role, "other")
    workload.wrapper = wrapper
    return workload


def pod_with(spec: Mapping, containers: Iterable[Mapping], sidecars: Iterable[Mapping] = ()) -> Mapping:
    """A pod spec with these containers in place of its own, and native sidecars beside its own."""
    own = spec.sequence("containers")
    entries: dict[str, Node | None] = {"containers": sequence_at(own or spec, containers)}
    added = list(sidecars)
    if added:
        entries["initContainers"] = sequence_at(spec, [*spec.mappings("initContainers"), *added])
    return with_entries(spec, entries)


def is_other_engine(image: str | None) -> bool:
    """Whether an image is known to hold another engine than vLLM."""
    return image is not None and bool(_OTHER_ENGINES.search(image.lower()))


def named_container(containers: Iterable[Mapping], name: str) -> Mapping | None:
    """The container of that name."""
    return next((one for one in containers if one.string("name") == name), None)


def count(node: Node | None, *route: str) -> int | None:
    """A positive whole number; None when there is none."""
    value = node.integer(*route) if node is not None else None
    return value if value is not None and value > 0 else None
