"""What adapters share: the other objects of a run, and how a workload of a wrapper kind is made."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from vllmlint.kube.index import Index
from vllmlint.kube.objects import KubeObject
from vllmlint.kube.pods import Workload
from vllmlint.manifest.nodes import Mapping, Node, Scalar
from vllmlint.regex import regex
from vllmlint.serving.wrappers.nodes import sequence_at, with_entries
from vllmlint.serving.wrappers.wrapper import Wrapper

#: Images of other engines; a kind that serves with several may name one of them.
_OTHER_ENGINES = regex(
    r"sglang|tensorrt|trt-?llm|text-generation-inference|(^|[/-])tgi([:/-]|$)|ollama|triton|"
    r"hugging-?face-?server|lmdeploy|llama[._-]?cpp|faster-?whisper|infinity|mlserver|sklearn|openvino|omni"
)


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
