"""Section pinning: texts that somebody still has to fill in."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import partial

from vllmlint.checks._placeholders import BY_DESIGN, CAPITALS, HUMAN, IMAGE_HUMAN, LOUD, VARIABLE
from vllmlint.finding import Confidence, Edit, Finding, Fix, Related
from vllmlint.kube.env import EnvVar, read_env
from vllmlint.kube.objects import KubeObject
from vllmlint.kube.pods import Container
from vllmlint.manifest.nodes import Mapping as MappingNode
from vllmlint.manifest.nodes import Scalar
from vllmlint.manifest.text import Place
from vllmlint.record import record, replace
from vllmlint.regex import regex
from vllmlint.serving.command import read_command
from vllmlint.serving.server import Server
from vllmlint.world import World

_REFERENCE = regex(r"(?<!\$)\$\((?P<name>[A-Za-z_][A-Za-z0-9_.-]*)\)")
#: Variables that the kubelet makes for Services.
_SERVICE_VARIABLE = regex(
    r"KUBERNETES_\w+|\w+_(?:SERVICE_(?:HOST|PORT)(?:_\w+)?|PORT(?:_\d+_(?:TCP|UDP)\w*)?)\Z"
)
#: In prose and scripts only what cannot be a word of the language.
_SHOUTED = regex(rf"(?<![A-Za-z0-9])(?:{LOUD})(?![A-Za-z0-9])")
_WHOLE = regex(r"(?:TODO|FIXME|TBD|[xX]{3,}|\.{3}|…)\Z")
#: One of these stands in every text that is looked for, in lower case; to ask for them one by one is many
#: times faster than one expression for all.
_CLUES = (
    *("$", "<", "replace", "your", "insert_", "put_", "__", "change", "placeholder", "todo", "fixme", "tbd"),
    *("xxx", "***", "...", "…", "my-tag", "mytag", "x.y"),
)
_CAPITAL_IN_IMAGE = regex(r"image:\s*\S*[A-Z]")
#: What a Secret of the hub, or a key in one, is called.
_OF_HUB = regex(r"hugging|\bhf[-_]?(?:api[-_]?)?(?:token|secret|key)|\bhf\b", re.IGNORECASE)
_AS_IT_IS = "nothing fills it in before the manifest is applied"
#: Places that a finding about a whole template names besides its own.
_MOST_RELATED = 8


@record
class _Mark:
    """A placeholder and its finding; `variable` is set where a renderer would fill it in."""

    finding: Finding
    variable: str = ""


def placeholder_left_in_manifest(obj: KubeObject, world: World) -> Iterator[Finding]:
    """Texts of a server's pods, or of a Secret, that still have to be filled in."""
    if obj.kind == "Template" or not _has_clue(obj.node.source.text[obj.node.start : obj.node.end]):
        return
    facts = world.facts_of(obj)
    if facts is None:
        return
    if obj.kind == "Secret" and not obj.group:
        yield from _in_secret(obj, near_server=bool(facts.servers))
        return
    servers = {id(server.container): server for server in facts.servers if server.object is obj}
    if all(server.is_simulator for server in servers.values()):
        return
    lookup = partial(world.index.config_map_data, seeker=obj)
    marks: list[_Mark] = []
    for workload in facts.workloads:
        for container in workload.containers if workload.object is obj else ():
            server = servers.get(id(container))
            env = server.env if server is not None else read_env(container.node, lookup)
            marks += _in_image(container)
            marks += _in_env(container, env)
            marks += _in_words(container, server, env)
    yield from _reported(obj, marks)


def _has_clue(text: str) -> bool:
    """Whether a text may hold a placeholder at all."""
    lower = text.lower()
    return any(clue in lower for clue in _CLUES) or _CAPITAL_IN_IMAGE.search(text) is not None


def _reported(obj: KubeObject, marks: list[_Mark]) -> Iterator[Finding]:
    """One finding for each mark; one for all variables of a manifest that is a template."""
    variables = [mark for mark in marks if mark.variable]
    if len({mark.variable for mark in variables}) < 2 and not _is_template(obj):
        yield from (mark.finding for mark in marks)
        return
    yield from (mark.finding for mark in marks if not mark.variable)
    if not variables:
        return
    first, *others = [mark.finding.place for mark in variables]
    rest = f" and {len(others)} more like it" if others else ""
    yield Finding(
        first,
        f"`{first.text}`{rest} must be filled in before this manifest is applied: Kubernetes replaces only "
        "`$(NAME)`, so the pod would get these characters",
        "Lint what is applied: render the manifest first (`envsubst < file | vllmlint check -`).",
        "not filled in",
        "warning",
        "low",
        (_AS_IT_IS,),
        tuple(Related(place, "nor this") for place in others[:_MOST_RELATED]),
    )


def _is_template(obj: KubeObject) -> bool:
    """Whether variables stand where Kubernetes would refuse the object, so that something fills them in."""
    routes = (("metadata", "name"), ("metadata", "namespace"), ("spec", "replicas"))
    texts = [obj.node.string(*route) or "" for route in routes]
    return any(VARIABLE.search(text) is not None for text in (*texts, *obj.labels.values()))


def _place(node: Scalar, match: re.Match[str]) -> Place:
    return node.part(match.start(), match.end())


def _in_secret(obj: KubeObject, *, near_server: bool) -> Iterator[Finding]:
    data = obj.node.mapping("stringData")
    for key, node in data.entries.items() if data is not None else ():
        of_hub = _OF_HUB.search(f"{obj.name} {key}") is not None
        if not isinstance(node, Scalar) or not (near_server or of_hub):
            continue
        match = HUMAN.search(node.text) or _WHOLE.match(node.text) or VARIABLE.search(node.text)
        if match is None:
            continue
        templated = match.group().startswith("$")
        refused = ", and the hub answers 401 for a gated model" if of_hub else ""
        yield Finding(
            _place(node, match),
            f"applied as it stands, this Secret sets `{key}` to a placeholder, over the real value if there "
            f"is one{refused}",
            "Keep the Secret out of the manifests (`kubectl create secret generic`, External Secrets, Sealed"
            " Secrets).",
            "still a placeholder",
            "warning" if templated else None,
            "low" if templated else "medium",
            (_AS_IT_IS,),
        )


def _in_image(container: Container) -> Iterator[_Mark]:
    node = container.image
    if node is None or "{{" in node.text or BY_DESIGN.search(node.text):
        return
    variables = list(VARIABLE.finditer(node.text))
    match = variables[0] if variables else IMAGE_HUMAN.search(node.text) or CAPITALS.search(node.text)
    if match is None:
        return
    # a whole name in capitals is what `images` of a kustomization or sed replaces
    weak = bool(variables) or match.group() == node.text
    finding = Finding(
        _place(node, match),
        f"`{match.group()}` in the image is still a placeholder: no registry has such an image, and the pod "
        "does not start",
        "Write the image that is deployed, or lint the rendered manifest (`kustomize build … | vllmlint check"
        " -`).",
        "not filled in",
        "warning" if weak else None,
        "low" if weak else "medium",
        (_AS_IT_IS,),
    )
    yield _Mark(finding, match.group() if variables else "")
    for other in variables[1:]:
        yield _Mark(replace(finding, place=_place(node, other)), other.group())


def _in_env(container: Container, env: Mapping[str, EnvVar]) -> Iterator[_Mark]:
    """Values of `env`, in order: a `$(NAME)` sees only what stands above it."""
    listed = list(container.node.mappings("env"))
    own = {entry.string("name") for entry in listed}
    above = {name for name in env if name not in own}
    for entry in listed:
        name, node = entry.string("name") or "", entry.scalar("value")
        if node is not None:
            yield from _in_value(container, name, node, env, above)
        above.add(name)


def _in_value(
    container: Container, name: str, node: Scalar, env: Mapping[str, EnvVar], above: set[str]
) -> Iterator[_Mark]:
    text = node.text
    prose = any(space in text for space in " \t\n")
    for match in (_SHOUTED if prose else HUMAN).finditer(text):
        yield _human(_place(node, match), match.group(), f"in {name}", name)
    if _WHOLE.match(text):
        yield _human(node.content, text, f"in {name}", name)
    if prose:
        return
    for match in VARIABLE.finditer(text):
        yield _variable(_place(node, match), match, env, above, name)
    for match in _REFERENCE.finditer(text):
        finding = _undefined(container, _place(node, match), match["name"], env, above, name)
        if finding is not None:
            yield _Mark(finding)


def _human(place: Place, text: str, where: str, name: str = "") -> _Mark:
    refused = ": the hub answers 401 for a gated model" if _OF_HUB.search(name) else ""
    by_sed = text.startswith("__")
    return _Mark(
        Finding(
            place,
            f"`{text}` {where} is still a placeholder, and the container gets these very characters{refused}",
            "Write the value, or take a secret one from a Secret (`valueFrom.secretKeyRef`).",
            "still a placeholder",
            confidence="medium" if by_sed else "high",
            assumptions=(_AS_IT_IS,) if by_sed else (),
        )
    )


def _variable(
    place: Place, match: re.Match[str], env: Mapping[str, EnvVar], above: set[str], name: str = ""
) -> _Mark:
    """`$NAME` or `${NAME}` where no shell reads it; `name` is the variable whose value it is in."""
    wanted, written = match["braced"] or match["bare"], match.group()
    extends = written != match.string and (wanted == name or wanted.endswith("PATH"))
    if extends and wanted not in above:
        return _Mark(
            Finding(
                place,
                f"Kubernetes does not know `{written}`: {name or 'the argument'} becomes exactly this"
                f" text, and what the image has in {wanted} is lost",
                f"Write the whole value, or extend {wanted} in the start script (`export"
                f" {wanted}=…:${wanted}`).",
                "stays as it is written",
                "warning",
            )
        )
    defined = wanted in above
    confidence: Confidence = "high" if defined else "medium"
    elsewhere = wanted in env and wanted != name
    advice = (
        f"Write `$({wanted})`" if elsewhere else f"Take {wanted} from a Secret (`valueFrom.secretKeyRef`)"
    )
    refused = ": the hub answers 401 for a gated model" if _OF_HUB.search(name) else ""
    return _Mark(
        Finding(
            place,
            f"Kubernetes replaces only `$(NAME)`: the container gets the {len(written)} characters"
            f" `{written}`{refused}",
            f"{advice}, or render the manifest before it is applied.",
            "stays as it is written",
            confidence=confidence,
            assumptions=() if defined else (_AS_IT_IS,),
            fix=Fix(f"refer to {wanted}", (Edit(place, f"$({wanted})"),), safe=True) if defined else None,
        ),
        "" if defined else written,
    )


def _undefined(
    container: Container,
    place: Place,
    wanted: str,
    env: Mapping[str, EnvVar],
    above: set[str],
    name: str = "",
) -> Finding | None:
    """`$(NAME)` that nothing defines; None when it is defined, or may be elsewhere."""
    if wanted in above or container.workload.carrier != "plain" or _SERVICE_VARIABLE.match(wanted):
        return None
    if wanted in env and wanted != name:
        return Finding(
            place,
            f"`$({wanted})` is not replaced here: {wanted} is defined further down, and a variable sees"
            " only those above it",
            f"Move {wanted} above {name}.",
            "defined only below",
            related=(Related(env[wanted].name_node.content, "defined here"),),
        )
    if any(not _is_read(entry, env) for entry in container.node.mappings("envFrom")) or "-" in wanted:
        return None
    return Finding(
        place,
        f"no variable {wanted} is defined in this container, so Kubernetes leaves `$({wanted})` as it is: "
        "the process gets these very characters",
        f"Define {wanted} in `env` (above its use), or write the value.",
        "not defined",
        confidence="medium",
        assumptions=("nothing injects the variable into the pod",),
    )


def _is_read(entry: MappingNode, env: Mapping[str, EnvVar]) -> bool:
    """Whether the variables of an `envFrom` entry are known."""
    name = entry.string("configMapRef", "name")
    return name is not None and any(
        variable.ref is not None and variable.ref[0] == name for variable in env.values()
    )


def _in_words(container: Container, server: Server | None, env: Mapping[str, EnvVar]) -> Iterator[_Mark]:
    """Words of `command` and `args`; a shell's script may hold `$NAME`, and arguments after it too."""
    line = server.line if server is not None else read_command(container, env)
    script = line.script.word.scalar if line.script is not None else None
    for word in line.argv:
        node = word.scalar
        if node is script:
            break
        prose = any(space in node.text for space in " \t\n")
        for match in (_SHOUTED if prose else HUMAN).finditer(node.text):
            yield _human(_place(node, match), match.group(), "in the arguments")
        if prose:
            continue
        if (
            container.workload.kind != "LLMInferenceService"
        ):  # its preset script evaluates the arguments again
            for match in VARIABLE.finditer(node.text):
                yield _variable(_place(node, match), match, env, set(env))
        for match in _REFERENCE.finditer(node.text):
            finding = _undefined(container, _place(node, match), match["name"], env, set(env))
            if finding is not None:
                yield _Mark(finding)
    if script is not None and server is not None:
        for served in server.invocation.words:
            for match in _SHOUTED.finditer(served.text or ""):
                yield _human(served.part(match.start(), match.end()), match.group(), "in the arguments")
