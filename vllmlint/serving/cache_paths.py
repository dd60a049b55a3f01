"""Where a server's downloads from the Hugging Face hub end up: the flag, the environment, the home directory.

Sources: huggingface_hub/constants.py (order of the variables, expansion of `~` and `$VAR`);
vllm/model_executor/model_loader/weight_utils.py (`--download-dir` is the hub's `cache_dir`).
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping

from vllmlint.facts.images import image_facts, is_official
from vllmlint.kube.env import EnvVar
from vllmlint.manifest.nodes import Mapping as MappingNode
from vllmlint.manifest.text import Place
from vllmlint.record import record
from vllmlint.regex import regex
from vllmlint.serving.image import ImageReference
from vllmlint.serving.server import Server
from vllmlint.serving.value import Value

#: The variables that place the hub cache, the strongest first, and what the hub's library appends to each.
CACHE_VARIABLES = (
    ("HF_HUB_CACHE", ""),
    ("HUGGINGFACE_HUB_CACHE", ""),
    ("HF_HOME", "hub"),
    ("XDG_CACHE_HOME", "huggingface/hub"),
    ("HOME", ".cache/huggingface/hub"),
)
#: The home directory of the user root, whom vLLM's own images run as (vLLM docker/Dockerfile: no USER).
ROOT_HOME = "/root"

_EXPANSION = regex(r"\$(?:(\w+)|\{([^{}]*)\})")
_PLACEHOLDER = regex(r"\$|\{\{|<[A-Za-z]|\0")
#: Repositories whose images are known not to run as root: Red Hat's builds, vLLM's `nonroot` target.
_OTHER_USER = regex(r"nonroot|non-root|rootless|ubi\d|rhaiis|rhoai|modh|opendatahub|openshift", re.IGNORECASE)
_TRUE = frozenset({"1", "true", "yes", "on"})


@record
class CachePath:
    """The directory that hub models are downloaded to.

    `path` is absolute and without a `/` at its end; None when it cannot be told, and `reason` says why.
    `origin` is what decides it: `--download-dir`, a variable of `CACHE_VARIABLES`, or `default` (the
    home directory of the user that the container runs as); `place` is where the manifest states it
    (None for the default). `assumptions` must hold for `path` to be right.
    """

    path: str | None
    origin: str = "default"
    place: Place | None = None
    reason: str = ""
    assumptions: tuple[str, ...] = ()


@record
class Home:
    """The home directory of a process; None when it cannot be told, and `reason` says why."""

    path: str | None
    reason: str = ""
    assumption: str = ""


def hub_cache(server: Server) -> CachePath:
    """The effective hub cache of a server."""
    if "hub cache" not in server.memo:
        server.memo["hub cache"] = _work_out_hub_cache(server)
    found: CachePath = server.memo["hub cache"]
    return found


def _work_out_hub_cache(server: Server) -> CachePath:
    env = server.env
    if env.get("VLLM_USE_MODELSCOPE") is not None and not _is_off(env["VLLM_USE_MODELSCOPE"]):
        return CachePath(None, reason="VLLM_USE_MODELSCOPE takes models from another hub")
    return effective_cache(
        server.get("download_dir"),
        env,
        home_of(server.container.node, server.workload.spec, server.image),
        script_variables(server),
        hidden_sources(server.container.node, env),
    )


def effective_cache(
    download_dir: Value,
    env: Mapping[str, EnvVar],
    home: Home,
    changed: frozenset[str] = frozenset(),
    hidden: tuple[str, ...] = (),
) -> CachePath:
    """The hub cache by `--download-dir`, the environment and the home directory.

    `home` is the one that holds when `env` sets no HOME; `changed` are variables that a script sets
    before the server starts; `hidden` are ConfigMaps whose variables are not known, as `hidden_sources`
    names them.
    """
    if not download_dir.known:
        return CachePath(None, "--download-dir", reason=download_dir.reason)
    if isinstance(download_dir.value, str) and download_dir.value:
        path, reason = _absolute(download_dir.value, "--download-dir")
        return CachePath(path, "--download-dir", download_dir.place, reason)
    for name, suffix in CACHE_VARIABLES:
        if name in changed:
            return CachePath(None, name, reason=f"the script sets {name}")
        variable = env.get(name)
        if variable is not None:
            return _from_variable(variable, suffix, env, home)
        if hidden:
            return CachePath(None, reason=f"{hidden[0]} may set {name}")
    if home.path is None:
        return CachePath(None, reason=home.reason)
    assumptions = (home.assumption,) if home.assumption else ()
    return CachePath(posixpath.join(home.path, ".cache/huggingface/hub"), assumptions=assumptions)


def home_of(container: MappingNode, pod: MappingNode, image: ImageReference | None) -> Home:
    """The home directory by the user that the container runs as: `runAsUser`, else the image's.

    `container` and `pod` are the mappings that hold `securityContext`; the container's counts more.
    """
    contexts = [found for node in (container, pod) if (found := node.mapping("securityContext")) is not None]
    for context in contexts:
        if context.scalar("runAsUser") is not None:
            user = context.integer("runAsUser")
            if user == 0:
                return Home(ROOT_HOME)
            return Home(None, f"the container runs as user {user}, whose home directory only the image knows")
    non_root = next(
        (flag for context in contexts if (flag := context.flag("runAsNonRoot")) is not None), False
    )
    if non_root:
        return Home(None, "the container does not run as root, and only the image knows its user")
    if image is None or image.unresolved or _OTHER_USER.search(image.reference):
        return Home(None, "the image's user is not known")
    if is_official(image.full_repository):
        return Home(ROOT_HOME)
    facts = image_facts(image.full_repository)
    if facts is not None and facts.entrypoint != "unknown":
        return Home(ROOT_HOME, assumption="the image runs as root, as vLLM's own images do")
    return Home(None, "the image's user is not known")


def script_variables(server: Server) -> frozenset[str]:
    """The names that the script or the launcher in front of the server sets for it."""
    invocation = server.invocation
    names: set[str] = set()
    if invocation.script is not None:
        names.update(invocation.script.parsed.variables)
    if invocation.command is not None:
        names.update(invocation.command.assignments)
    for word in invocation.launcher:
        name, equals, _ = (word.text or "").partition("=")
        if equals and not name.startswith("-"):
            names.add(name)
    return frozenset(names)


def hidden_sources(container: MappingNode, env: Mapping[str, EnvVar]) -> tuple[str, ...]:
    """The ConfigMaps of `envFrom` whose variables are not in `env`: they are not among the files read.

    Secrets are not counted: they carry tokens, and a path in one would be an oddity.
    """
    read = {variable.ref[0] for variable in env.values() if variable.source == "configmap" and variable.ref}
    wanted = (entry.string("configMapRef", "name") for entry in container.mappings("envFrom"))
    return tuple(f"ConfigMap/{name}" for name in wanted if name is not None and name not in read)


def _from_variable(variable: EnvVar, suffix: str, env: Mapping[str, EnvVar], home: Home) -> CachePath:
    name = variable.name
    place = (variable.value_node or variable.name_node).content
    if variable.value is None:
        return CachePath(None, name, place, f"the value of {name} is not known")
    text = _expand(variable.value, env, home)
    if text is None:
        return CachePath(None, name, place, f"{name} holds something that cannot be expanded here")
    path, reason = _absolute(text, name)
    return CachePath(None if path is None else posixpath.join(path, suffix).rstrip("/"), name, place, reason)


def _expand(text: str, env: Mapping[str, EnvVar], home: Home) -> str | None:
    """`~` and `$VAR` as the hub's library expands them; None when a value is missing."""
    directory = env["HOME"].value if "HOME" in env else home.path
    known = {name: variable.value for name, variable in env.items()} | {"HOME": directory}
    if text == "~" or text.startswith("~/"):
        if directory is None:
            return None
        text = directory + text[1:]
    names = [match[1] or match[2] for match in _EXPANSION.finditer(text)]
    if any(known.get(name) is None for name in names):
        return None
    return _EXPANSION.sub(lambda match: known[match[1] or match[2]] or "", text)


def _absolute(text: str, origin: str) -> tuple[str | None, str]:
    """A normalised absolute path, or None and why it is none."""
    if not text:
        return None, f"{origin} is empty"
    if _PLACEHOLDER.search(text):
        return None, f"{origin} holds a placeholder"
    if not text.startswith("/"):
        return None, f"{origin} is relative to the image's working directory"
    return "/" + posixpath.normpath(text).lstrip("/"), ""


def _is_off(variable: EnvVar) -> bool:
    return variable.value is not None and variable.value.strip().lower() not in _TRUE
