"""The contract: what a team promises about its images, models, nodes and rules.

Plain dataclasses, so that a run without a contract never loads pydantic. The same dataclasses are what
`vllmlint.contract.load` validates a file against and what the JSON Schema is generated from: the names
become camelCase there, the text under each field becomes its description.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable
from dataclasses import field
from typing import Annotated, Any, Literal, TypeAlias

from vllmlint.contract.globs import matches_glob
from vllmlint.record import record
from vllmlint.severity import Confidence, Severity


def camel_case(name: str) -> str:
    """The spelling of a field in a contract file: `gpu_memory_gib` becomes `gpuMemoryGib`."""
    first, *others = name.split("_")
    return first + "".join(part.capitalize() for part in others)


#: How a file is held against these classes: keys in camelCase only, and no others.
_CONFIG = {"extra": "forbid", "alias_generator": camel_case, "allow_inf_nan": False}

#: What pydantic hands to an annotation: the type's schema builder.
_SchemaOf: TypeAlias = Callable[[Any], dict[str, Any]]


class AtLeast:
    """The smallest number a field takes; with `above` the number itself is too small."""

    def __init__(self, minimum: int, *, above: bool = False) -> None:
        self.minimum = minimum
        self.above = above

    def __get_pydantic_core_schema__(self, source: Any, schema_of: _SchemaOf) -> dict[str, Any]:
        """The schema of the number, with its lower bound."""
        return {**schema_of(source), "gt" if self.above else "ge": self.minimum}


class Pattern:
    """What a text looks like; `wanted` says it in words, `numbers` lets the schema take a bare number."""

    def __init__(self, pattern: str, wanted: str, *, numbers: bool = False) -> None:
        self.pattern = pattern
        self.wanted = wanted
        self.numbers = numbers

    def __get_pydantic_core_schema__(self, source: Any, schema_of: _SchemaOf) -> dict[str, Any]:
        """The schema of a string that has this pattern."""
        return {**schema_of(source), "pattern": self.pattern}

    def __get_pydantic_json_schema__(self, source: Any, schema_of: _SchemaOf) -> dict[str, Any]:
        """The JSON Schema: a number where the bare number is as good as its text."""
        schema = schema_of(source)
        return {**schema, "type": ["string", "number"]} if self.numbers else schema


_TEXT = Pattern(r"\S", "a text that is not empty")
_RELEASE = Pattern(
    r"^[0-9]+\.[0-9]+\.[0-9]+((\.?(post|dev)|rc)[0-9]+)?$", "a vLLM release such as 0.33.0, without a `v`"
)
_QUANTITY = Pattern(
    r"^[0-9]+(\.[0-9]*)?([eE][0-9]+|[numkMGTPE]|[KMGTPE]i)?$",
    "a Kubernetes quantity such as 96, 500m or 1Ti",
    numbers=True,
)
_KUBERNETES = Pattern(r"^[0-9]+\.[0-9]+(\.[0-9]+)?$", "a Kubernetes version such as 1.34", numbers=True)
#: What is wanted where a text does not have a pattern.
WANTED = {kind.pattern: kind.wanted for kind in (_TEXT, _RELEASE, _QUANTITY, _KUBERNETES)}

Text = Annotated[str, _TEXT]
Release = Annotated[str, _RELEASE]
Quantity = Annotated[str, _QUANTITY]
KubernetesVersion = Annotated[str, _KUBERNETES]
Count = Annotated[int, AtLeast(1)]
CountOrZero = Annotated[int, AtLeast(0)]
Amount = Annotated[float, AtLeast(0, above=True)]

#: `off` silences a rule.
SeveritySetting: TypeAlias = Literal["error", "warning", "info", "off"]


@record
class Vllm:
    """What is known about vLLM where an image does not tell."""

    __pydantic_config__ = _CONFIG

    release: Release | None = None
    """The release to assume for images whose tag names none; unset, such an image's release is unknown."""


@record
class ImageRelease:
    """Which vLLM is inside an image of your own."""

    __pydantic_config__ = _CONFIG

    match: Text
    """The image reference, tag included; `*` stands for any characters, also `/`. The first match counts."""
    vllm: Release
    """The vLLM release inside."""
    entrypoint: Literal["serve", "module"] | None = None
    """What the image runs: `vllm serve` or `python -m vllm.entrypoints.openai.api_server`.
    Unset: what the official image of that release runs."""


@record
class Images:
    """Where images come from and how they are pinned."""

    __pydantic_config__ = _CONFIG

    allowed_registries: tuple[Text, ...] = ()
    """Registries (with an optional path prefix) that images may come from; empty: any."""
    pin: Literal["digest", "release", "any"] = "release"
    """How tightly an image must be pinned: by digest, at least by a release tag, or not at all."""
    releases: tuple[ImageRelease, ...] = ()
    """The vLLM release inside images whose tag does not say it."""


@record
class Model:
    """A model that may be served, and what is known of it."""

    __pydantic_config__ = _CONFIG

    id: Text
    """The id on the hub, or the name a private model goes by."""
    revision: Text | None = None
    """The commit that must be served; a server that names another, or none, is reported."""
    path: Text | None = None
    """The directory in the container that holds the model, for servers that name it by path."""
    config: Text | None = None
    """The model's `config.json`, relative to the contract file that names it; read before other sources."""
    base_model: Text | None = None
    """The id of the model this one was tuned from: its architecture is assumed where `config` is unset."""


@record
class Taint:
    """A taint of every node in a pool."""

    __pydantic_config__ = _CONFIG

    key: Text
    """The taint's key."""
    value: str = ""
    """The taint's value; empty where it has none."""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] = "NoSchedule"
    """What the taint does to pods that do not tolerate it."""


@record
class Sharing:
    """How the device plugin hands one GPU to several pods."""

    __pydantic_config__ = _CONFIG

    strategy: Literal["time-slicing", "mps"]
    """Time slices (no memory limit between the pods) or the multi-process service (an equal share each)."""
    replicas: Count
    """How many times each GPU is advertised."""
    rename_by_default: bool = False
    """Whether the resource is renamed to `nvidia.com/gpu.shared`, as the device plugin's setting says."""
    fail_requests_greater_than_one: bool = False
    """Whether the device plugin refuses a container that asks for more than one of the shares."""


@record
class NodePool:
    """Nodes of one kind: what a pod sees of them, and what they hold."""

    __pydantic_config__ = _CONFIG

    labels: dict[str, str] = field(default_factory=dict)
    """Labels that every node of the pool carries."""
    taints: tuple[Taint, ...] = ()
    """Taints of every node of the pool."""
    gpu: Text | None = None
    """The GPU, for example `nvidia-a100-80gb-sxm`; a name of several cards (`A100`) leaves them all possible;
    unset: what `instanceType` has, or what the labels name."""
    instance_type: Text | None = None
    """The cloud's machine type, for example `p4de.24xlarge`; it tells GPUs, cpu and memory that are unset."""
    gpu_memory_gib: Amount | None = None
    """GiB that one GPU reports; unset: what its profile says."""
    gpus_per_node: CountOrZero | None = None
    """GPUs in one node; unset: unknown."""
    nodes: CountOrZero | None = None
    """Nodes in the pool at most; unset: unknown, so the pool is never reported as too small."""
    spare_gpus: CountOrZero | None = None
    """GPUs of the pool that are free for a rollout's surplus pods; unset: unknown."""
    cpu: Quantity | None = None
    """CPU of one node, as a quantity."""
    memory: Quantity | None = None
    """Memory of one node, as a quantity."""
    ephemeral_storage: Quantity | None = None
    """Ephemeral storage of one node, as a quantity."""
    resources: dict[str, Quantity] = field(default_factory=dict)
    """What else one node offers, by resource name, for example `rdma/ib: 8`."""
    mig: Text | None = None
    """The MIG profile that every GPU of the pool is cut into, for example `3g.40gb`; unset: whole GPUs."""
    sharing: Sharing | None = None
    """How a GPU is shared between pods; unset: one pod a GPU."""
    mig_strategy: Literal["single", "mixed"] | None = None
    """How slices are asked for: as `nvidia.com/gpu` (`single`) or by profile (`mixed`); unset: unknown."""
    interconnect: Literal["nvlink", "pcie"] | None = None
    """How the GPUs of a node are joined; unset: as the GPU's profile says."""
    platform: Text | None = None
    """The managed Kubernetes, for example `gke`, `eks` or `aks`; unset: what the labels tell."""
    kubernetes: KubernetesVersion | None = None
    """The version of Kubernetes on the nodes, for example `1.34`; unset: unknown."""
    driver: Text | None = None
    """The GPU driver's version on the nodes, for example `550.90.07`; unset: unknown."""


@record
class Environment:
    """A set of files that is deployed together, and the nodes it is deployed to."""

    __pydantic_config__ = _CONFIG

    paths: tuple[Text, ...]
    """The files, as patterns relative to the contract's directory; a file is in the first that matches."""
    node_pools: tuple[Text, ...] | None = None
    """The pools that the environment has; unset: all of them."""


@record
class Storage:
    """How fast weights arrive: what start-up budgets are measured against."""

    __pydantic_config__ = _CONFIG

    read_gib_per_second: Amount | None = None
    """GiB a second from a mounted volume; unset: anything from network storage to local NVMe."""
    download_gib_per_second: Amount | None = None
    """GiB a second from the model hub; unset: anything usual."""


@record
class Serving:
    """What every server must offer, and what it must say itself."""

    __pydantic_config__ = _CONFIG

    min_concurrency: Count | None = None
    """Requests of full length that the KV cache must hold at once; unset: no demand beyond one."""
    require_explicit: tuple[Text, ...] = ()
    """Settings that must be written, not left to a default: vLLM's flag names without the dashes in front."""


@record
class PathRules:
    """Rules of some files only."""

    __pydantic_config__ = _CONFIG

    paths: tuple[Text, ...]
    """The files, as patterns relative to the contract's directory."""
    select: tuple[Text, ...] | None = None
    """The rules that run here instead of `rules.select`; unset: the same ones."""
    ignore: tuple[Text, ...] = ()
    """Rules that stay silent here: ids, names, sections or `all`."""
    severity: dict[str, SeveritySetting] = field(default_factory=dict)
    """Severities that hold here, by rule or section."""
    reason: str | None = None
    """Why; shown with what was silenced."""
    until: datetime.date | None = None
    """The last day on which this entry holds."""


@record
class ObjectRules:
    """Rules of some objects only; every selector that is set must match. Texts may hold `*` and `?`."""

    __pydantic_config__ = _CONFIG

    kind: Text | None = None
    """The object's kind."""
    name: Text | None = None
    """The object's name."""
    namespace: Text | None = None
    """The object's namespace."""
    container: Text | None = None
    """The container's name; set, findings about the whole object do not match."""
    labels: dict[str, str] = field(default_factory=dict)
    """Labels the object carries."""
    ignore: tuple[Text, ...] = ()
    """Rules that stay silent here: ids, names, sections or `all`."""
    severity: dict[str, SeveritySetting] = field(default_factory=dict)
    """Severities that hold here, by rule or section."""
    reason: str | None = None
    """Why; shown with what was silenced."""
    until: datetime.date | None = None
    """The last day on which this entry holds."""


@record
class RuleSettings:
    """Which rules run, how loud, and where not. A rule goes by its id or its name."""

    __pydantic_config__ = _CONFIG

    select: tuple[Text, ...] = ("recommended",)
    """The rules that run: `recommended`, `all`, sections, ids or names."""
    ignore: tuple[Text, ...] = ()
    """Rules that do not run: ids, names, sections or `all`; stronger than `select`."""
    severity: dict[str, SeveritySetting] = field(default_factory=dict)
    """Severities other than the rules' own, by rule or section; `off` silences one."""
    options: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Options other than the rules' defaults, by rule."""
    per_path: tuple[PathRules, ...] = ()
    """Rules of some files only; a later entry is stronger."""
    per_object: tuple[ObjectRules, ...] = ()
    """Rules of some objects only; a later entry is stronger, and stronger than `perPath`."""
    require_reason: bool = False
    """Whether everything that silences a rule, here and in comments, must say why."""
    mandatory: tuple[Text, ...] = ()
    """Rules that nothing may silence: ids, names, sections or `all`."""


@record
class Contract:
    """What a team promises about its deployments; the nearest contract above a file rules it."""

    __pydantic_config__ = _CONFIG

    extends: Text | tuple[Text, ...] = ()
    """Contract files to start from, relative to this file: mappings merge, anything else replaces,
    a later one is stronger and this file the strongest; `null` takes back what they say."""
    vllm: Vllm = field(default_factory=Vllm)
    """What is known about vLLM where an image does not tell."""
    images: Images = field(default_factory=Images)
    """Where images come from and how they are pinned."""
    models: tuple[Model, ...] = ()
    """The models that are served."""
    node_pools: dict[str, NodePool] = field(default_factory=dict)
    """The cluster's node pools, by name."""
    environments: dict[str, Environment] = field(default_factory=dict)
    """The environments, by name; objects of two environments are never joined."""
    storage: Storage = field(default_factory=Storage)
    """How fast weights arrive."""
    serving: Serving = field(default_factory=Serving)
    """What every server must offer."""
    rules: RuleSettings = field(default_factory=RuleSettings)
    """Which rules run, how loud, and where not."""
    fail_on: Severity = "error"
    """The lowest severity that fails a run."""
    min_confidence: Confidence = "low"
    """The lowest confidence that is shown."""


def environment_of(contract: Contract, relative_path: str) -> str | None:
    """The first environment that a file is in; `relative_path` starts at the contract's directory."""
    for name, environment in contract.environments.items():
        if any(matches_glob(relative_path, pattern) for pattern in environment.paths):
            return name
    return None
