"""Section args: variables of the environment as the image's release reads them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from difflib import get_close_matches

from vllmlint.checks._args import judgement
from vllmlint.checks._environment import (
    is_mentioned,
    known_value,
    name_place,
    opposite,
    refusal,
    value_place,
)
from vllmlint.checks._purpose import is_trial
from vllmlint.facts.images import image_facts
from vllmlint.facts.replacements import replacement_texts
from vllmlint.finding import Finding, Related, Severity
from vllmlint.kube.env import EnvVar
from vllmlint.kube.objects import KubeObject
from vllmlint.manifest.text import Place
from vllmlint.regex import regex
from vllmlint.serving.flag_tables import env_history, env_table, flag_table
from vllmlint.serving.server import Server
from vllmlint.world import World

#: From this release on vLLM warns of an unknown VLLM_* name at start, or refuses it where it is told to.
_WARNS_SINCE = "0.17.0"
#: From this release on vLLM reads all of its variables once at start.
_READS_ALL_SINCE = "0.12.0"
#: Names of the plugins that bring other hardware: their variables are not in vLLM's tables.
_OF_PLUGINS = regex(
    r"VLLM_(?:ASCEND|SPYRE|HPU|GAUDI|NEURON|RBLN|MLU|MUSA|METAX|MACA|KUNLUN|TPU|XLA|OMNI|METAL|SR|CI|TEST)_"
)
#: What Kubernetes makes of a Service whose name starts with vllm.
_OF_SERVICES = regex(r"VLLM_(?:\w+_)?(?:SERVICE_(?:HOST|PORT)(?:_\w+)?|PORT_\d+_\w+|PORT)\Z")
_BLOCKING = "the CPU waits for every kernel before it launches the next, and nothing overlaps any more"
_NUMBER = regex(r"[1-9]\d*\Z")
#: Variables for debugging, the values that turn them on, and what they cost.
_DEBUG: tuple[tuple[str, re.Pattern[str], str, Severity], ...] = (
    ("CUDA_LAUNCH_BLOCKING", _NUMBER, _BLOCKING, "warning"),
    ("HIP_LAUNCH_BLOCKING", _NUMBER, _BLOCKING, "warning"),
    (
        "VLLM_TRACE_FUNCTION",
        _NUMBER,
        "every call of a Python function is written to a file: the server is many times slower",
        "warning",
    ),
    (
        "VLLM_GPU_SYNC_CHECK",
        regex(r"(?:warn|error)\Z"),
        "PyTorch watches for each synchronisation with the GPU, and `error` makes each one raise",
        "warning",
    ),
    (
        "NCCL_DEBUG",
        regex(r"TRACE\Z", re.IGNORECASE),
        "NCCL writes a line for every call on every rank",
        "warning",
    ),
    (
        "VLLM_LOGGING_LEVEL",
        regex(r"DEBUG\Z", re.IGNORECASE),
        "the log grows with every request and step, and its lines cost time and storage",
        "info",
    ),
)


def debug_environment_left(server: Server, world: World) -> Iterator[Finding]:
    """Variables for debugging that are on in a server with users."""
    if is_trial(server, world):
        return
    for name, on, cost, severity in _DEBUG:
        found = _set_to(name, server)
        if found is None or on.match(found[0]) is None:
            continue
        yield Finding(
            found[1],
            f"{name}={found[0]} is for debugging: {cost}",
            f"Remove {name}; set it for the hour in which you look for something.",
            "for debugging",
            severity,
            related=found[2],
        )


def _set_to(name: str, server: Server) -> tuple[str, Place, tuple[Related, ...]] | None:
    """The value that a variable has when vLLM starts: the script's, else the container's."""
    script = server.invocation.script
    if script is not None and script.word.text is not None:
        pattern = re.compile(rf"(?m)^(?![ \t]*#)[^\n#]*?(?<![\w$]){name}=[\"']?(?P<value>[\w.-]+)")
        for match in pattern.finditer(script.word.text):
            return match["value"], script.word.part(*match.span("value")), ()
    for word in server.invocation.launcher:
        if word.text is not None and word.text.startswith(f"{name}="):
            value = word.text.partition("=")[2]
            return value, word.part(len(name) + 1, len(word.text)), ()
    variable = server.env.get(name)
    known = known_value(variable) if variable is not None else None
    if variable is None or known is None:
        return None
    return (known, *value_place(variable, server))


def unknown_vllm_env(server: Server, world: World) -> Iterator[Finding]:
    """Variables named VLLM_* that this release does not read."""
    table = env_table(server.release)
    strict = server.is_set("fail_on_environ_validation")
    if server.invocation.opaque:
        return
    for variable in server.env.values():
        name = variable.name
        if not name.startswith("VLLM_") or name in table.declared or _OF_PLUGINS.match(name):
            continue
        # strict validation knows the declared names only, whoever else reads the variable
        if not strict and (table.knows(name) or _OF_SERVICES.match(name) or is_mentioned(name, server)):
            continue
        finding = _unknown(variable, server)
        if finding is not None:
            yield finding


def _unknown(variable: EnvVar, server: Server) -> Finding | None:
    name, history, release = variable.name, env_history(variable.name), server.release
    strict = server.is_set("fail_on_environ_validation")
    place, related = name_place(variable, server)
    judged = judgement(server)
    severity: Severity | None = None
    if history is None:
        guess = _meant(name, server)
        if guess is None and not strict and (related or not _is_own(server)):
            # a ConfigMap may serve other programs; images and controllers may read names of their own
            return None
        fact, label = f"neither vLLM {release} nor any other known release reads {name}", "not read by vLLM"
        advice = guess or "Remove it, if nothing else in the image reads it."
        judged = judged if _is_own(server) else judged.less_sure()
        severity = "info" if guess is None else None
    elif not release.at_least(history.first):
        fact, label = (
            f"{name} came with vLLM {history.first}; {release} does not read it",
            f"needs {history.first}",
        )
        advice = f"Use an image with vLLM {history.first} or a later release, or remove it."
    else:
        since = history.removed_in or "a later release"
        fact, label = f"vLLM does not read {name} any more since {since}", f"removed in {since}"
        advice = _instead(variable, server)
        if name == "VLLM_USE_V1" and variable.value == "1":
            severity = "info"
    warned = release.at_least(_WARNS_SINCE)
    effect = "one warning at start says so, and the setting has no effect" if warned else "it has no effect"
    if strict:
        severity, effect = "error", "--fail-on-environ-validation makes vLLM exit at start"
    return Finding(
        place,
        f"{fact}: {effect}",
        advice,
        label,
        severity,
        judged.confidence,
        judged.assumptions,
        (*related, *judged.related),
    )


def _is_own(server: Server) -> bool:
    """Whether nothing but vLLM itself can read the variables, as far as the manifest tells."""
    facts = image_facts(server.image.full_repository) if server.image is not None else None
    extended = "middleware" in server.arguments.settings or "VLLM_PLUGINS" in server.env
    official = facts is not None and facts.entrypoint == "official"
    return official and not extended and server.workload.carrier != "other"


def _meant(name: str, server: Server) -> str | None:
    """What a name that no release has was probably meant to be."""
    table, rest = env_table(server.release), name.removeprefix("VLLM_")
    known = [one for one in (*table.declared, *table.mentioned) if one.startswith("VLLM_")]
    near = get_close_matches(name, known, 1, 0.9)
    if near:
        return f"Write `{near[0]}`, if that is meant."
    spec = flag_table(server.release).get(rest.lower())
    if spec is not None:
        return f"Write the flag `{spec.name}`: vLLM takes this setting from its command line only."
    return None


def _instead(variable: EnvVar, server: Server) -> str:
    """What to write instead of a variable that was removed."""
    table = flag_table(server.release)
    for text in replacement_texts("env", variable.name, known_value(variable)):
        if not text.startswith("-"):
            return f"{text.capitalize()}."
        if table.get(text.partition("=")[0].partition(".")[0]) is not None:
            return f"Write `{text}`."
    history = env_history(variable.name)
    if history is not None and history.replacement_field is not None:
        spec = table.get(history.replacement_field)
        if spec is not None:
            return f"Write `{spec.name}=…`."
    if history is not None and history.replacement is not None:
        return f"Use `{history.replacement}` instead."
    return "Remove it."


def service_links_with_strict_env(server: Server, world: World) -> Iterator[Finding]:
    """`--fail-on-environ-validation` where Kubernetes itself sets names that vLLM does not know."""
    strict = server.get("fail_on_environ_validation")
    if not server.is_set("fail_on_environ_validation") or server.workload.carrier == "other":
        return
    if server.workload.spec.flag("enableServiceLinks") is False:
        return
    services = [one for one in world.index.nearby("Service", server.object) if _is_linked(one)]
    if not services:
        return
    first = services[0]
    name = first.name.upper().replace("-", "_") + "_SERVICE_HOST"
    same = first.namespace == server.object.namespace
    yield Finding(
        strict.flag_place or server.anchor,
        f"the Service `{first.name}` makes Kubernetes set {name} in every pod that starts after it, which "
        "vLLM does not know; with `--fail-on-environ-validation` it exits, and the pod restarts forever",
        "Write `enableServiceLinks: false` into the pod's spec.",
        "fails on service links",
        confidence="high" if same else "medium",
        assumptions=() if same else ("the Service and the pods are in one namespace",),
        related=tuple(Related(one.anchor.place, "sets VLLM_* variables") for one in services[:4]),
    )


def _is_linked(service: KubeObject) -> bool:
    """Whether a Service gives pods variables that start with VLLM_."""
    spec = service.node.mapping("spec")
    if spec is None or spec.string("clusterIP") == "None" or spec.string("type") == "ExternalName":
        return False
    return service.name == "vllm" or service.name.startswith("vllm-")


def vllm_port_env_misused(server: Server, world: World) -> Iterator[Finding]:
    """VLLM_PORT taken for the port of the API."""
    variable = server.env.get("VLLM_PORT")
    value = known_value(variable) if variable is not None else None
    if variable is None or value is None or not value.isdigit():
        return
    port, place = server.get("port"), value_place(variable, server)
    number = server.port
    if number is None:
        return
    base = "VLLM_PORT is where vLLM starts to look for ports between its own processes, not the API's port"
    if int(value) == number:
        yield Finding(
            place[0],
            f"{base}: with the API on {number} as well, one of them has to move on or fails with `address "
            "already in use`",
            "Remove VLLM_PORT; `--port` alone sets the port of the API.",
            "same as the API's port",
            related=(*place[1], *_port_related(port.place, number)),
        )
    elif not port.explicit and server.arguments_known and int(value) in server.container.ports:
        yield Finding(
            place[0],
            f"{base}: the API listens on {number}, and nothing on {value}, which the container declares",
            f"Write `--port={value}` and remove VLLM_PORT.",
            "does not set the API's port",
            "error",
            related=place[1],
        )


def _port_related(place: Place | None, number: int) -> tuple[Related, ...]:
    return (Related(place, f"the API listens on {number}"),) if place is not None else ()


def env_value_wrong_type(server: Server, world: World) -> Iterator[Finding]:
    """Values that vLLM cannot read, or reads as the opposite."""
    table = env_table(server.release)
    for variable in server.env.values():
        spec, value = table.get(variable.name), known_value(variable)
        if spec is None or value is None or not variable.name.startswith("VLLM_"):
            continue
        place, related = value_place(variable, server)
        wanted, judged = refusal(spec, value), judgement(server)
        reads = opposite(spec, value)
        if wanted is not None:
            if not server.release.at_least(_READS_ALL_SINCE):
                judged = judged.less_sure()
            yield Finding(
                place,
                f"vLLM {server.release} wants {wanted} in {variable.name}: reading `{value}` it exits with a "
                "ValueError before it is ready, and the pod restarts forever",
                _write(spec.type, value, wanted),
                f"wants {wanted.replace('`', '')}" if spec.type != "choice" else "not a known value",
                confidence=judged.confidence,
                assumptions=judged.assumptions,
                related=(*related, *judged.related),
            )
        elif reads is not None:
            yield Finding(
                place,
                f"vLLM {server.release} reads {variable.name}={value} as {'on' if reads else 'off'}: "
                f"it takes only {_spellings(spec.true)} for on"
                if not reads
                else f"vLLM {server.release} reads {variable.name}={value} as on",
                f'Write `"{(spec.true if not reads else spec.false or ("0",))[0]}"`.',
                f"reads as {'on' if reads else 'off'}",
                "warning",
                judged.confidence,
                judged.assumptions,
                (*related, *judged.related),
            )


def _write(kind: str, value: str, wanted: str) -> str:
    if kind == "bool":
        number = "1" if value.lower() in {"true", "yes", "on", "y", "t"} else "0"
        return f'Write `"{number}"`.'
    return f"Write {wanted}, in quotes."


def _spellings(values: tuple[str, ...]) -> str:
    return " or ".join(f"`{value}`" for value in values)
