"""NVIDIA NIM operator's NIMService: a container whose own program starts the engine.

NIM takes its settings from NIM_ variables and its profiles; only what it passes through is vLLM's: the args
of the container and `NIM_PASSTHROUGH_ARGS`, the args being stronger. All else stays unknown.
Source: NVIDIA NIM for LLMs, Advanced Configuration.
"""

from __future__ import annotations

from vllmlint.kube.objects import KubeObject
from vllmlint.kube.pods import Workload
from vllmlint.manifest.nodes import Mapping, Node, Scalar, Sequence
from vllmlint.serving.wrappers.base import RunObjects, is_other_engine, pod_with, wrapped
from vllmlint.serving.wrappers.nodes import Joined, StandIn, mapping_at, sequence_at, without
from vllmlint.serving.wrappers.words import WordList, hidden_words, shell_words
from vllmlint.serving.wrappers.wrapper import ALL_INJECTIONS, Engine, Wrapper

_CONTROLLER = "NIM operator"
_PASSTHROUGH = "NIM_PASSTHROUGH_ARGS"
_PROGRAM = "nim-serve"
_POD_FIELDS = ("nodeSelector", "tolerations", "affinity", "runtimeClassName", "schedulerName")
_INJECTS = ALL_INJECTIONS - {"gpu"}


def workloads(obj: KubeObject, _run: RunObjects) -> list[Workload]:
    """The pod of a NIMService whose engine is, as far as the object shows it, vLLM."""
    spec = obj.node.mapping("spec")
    repository = spec.scalar("image", "repository") if spec is not None else None
    if spec is None or repository is None or is_other_engine(repository.text):
        return []
    anchor = obj.node.scalar("metadata", "name") or repository
    words = WordList()
    passthrough = _passthrough(spec)
    arguments = _arguments(spec)
    names_vllm = "vllm" in repository.text.rpartition("/")[2]
    if passthrough is None and not names_vllm and not any(one.text.startswith("--") for one in arguments):
        return []
    words.add(hidden_words(anchor), "wrapper", _CONTROLLER)
    if passthrough is not None:
        words.add(shell_words(passthrough), "env", _PASSTHROUGH)
    container = mapping_at(
        spec,
        {
            "name": StandIn(f"{obj.name}-ctr", anchor),
            "image": _image(spec, repository),
            "args": sequence_at(spec, arguments) if arguments else None,
            "env": spec.sequence("env"),
            "resources": spec.mapping("resources"),
        },
    )
    pod = mapping_at(spec, {name: spec.at(name) for name in _POD_FIELDS})
    engine = Engine(f"{obj.name}-ctr", tuple(words.words), words.sources, "serve")
    wrapper = Wrapper(_CONTROLLER, engine, injects=_INJECTS)
    return [wrapped(obj, without(spec, "image"), pod_with(pod, [container]), wrapper)]


def _passthrough(spec: Mapping) -> Scalar | None:
    """The last `NIM_PASSTHROUGH_ARGS` with a value."""
    values = [one.scalar("value") for one in spec.mappings("env") if one.string("name") == _PASSTHROUGH]
    return next((value for value in reversed(values) if value is not None), None)


def _arguments(spec: Mapping) -> list[Scalar]:
    """The words after NIM's program; none when the object starts another program."""
    command, args = (_scalars(spec.at(name)) for name in ("command", "args"))
    if not command:
        return args
    return [*command[1:], *args] if command[0].text.rpartition("/")[2] == _PROGRAM else []


def _scalars(node: Node | None) -> list[Scalar]:
    items = node.items if isinstance(node, Sequence) else []
    return [item for item in items if isinstance(item, Scalar)]


def _image(spec: Mapping, repository: Scalar) -> Scalar:
    tag = spec.scalar("image", "tag")
    return Joined((repository, ":", tag)) if tag is not None else repository
