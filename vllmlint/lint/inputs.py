"""What the rules would have needed and the manifests do not tell."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from vllmlint.kube.pods import Workload
from vllmlint.lint.result import LostInput
from vllmlint.manifest.nodes import Mapping, Node, Scalar
from vllmlint.manifest.nodes import Sequence as SequenceNode
from vllmlint.manifest.text import Place
from vllmlint.regex import regex
from vllmlint.serving.server import Server
from vllmlint.world import FileFacts, World

#: What envsubst, Flux or a template engine has still to fill in.
_PLACEHOLDER = regex(r"\$\{[^}]*\}|\{\{.*?\}\}")
#: Fields whose `${…}` the shell or the program reads, or that are spoken of elsewhere.
_FREE_TEXT = frozenset({"args", "command", "env", "image", "annotations", "exec"})


def lost_inputs(facts: FileFacts, world: World) -> list[LostInput]:
    """Every lost input of a file, in order of line."""
    rows = [row for server in facts.servers for row in _of_server(server)]
    if "${" in facts.file.source.text or "{{" in facts.file.source.text:
        rows += [row for workload in facts.workloads for row in _placeholders(workload, world)]
    rows += [
        _row(facts.file.path, place, container_title, container, what, effect)
        for place, container_title, container, what, effect in _hidden_servers(world, facts.workloads)
    ]
    return sorted(rows, key=lambda row: row.line)


def _row(file: str, place: Place, title: str, container: str | None, what: str, effect: str) -> LostInput:
    return LostInput(file, place.line, title, container, what, effect)


def _of_server(server: Server) -> Iterator[LostInput]:
    def row(place: Place, what: str, effect: str) -> LostInput:
        return _row(place.source.path, place, server.object.title, server.container.name, what, effect)

    image = server.image
    if image is not None and image.unresolved:
        yield row(
            image.node.place, f"image {image.reference!r}", "holds a placeholder: image rules are not applied"
        )
    if server.release_certainty == "assumed":
        place = image.node.place if image is not None else server.anchor
        yield row(
            place,
            "vLLM release",
            f"the image does not tell it: flags are judged as of {server.release}, with lower confidence"
            " (set vllm.release or images.releases in vllmlint.yaml)",
        )
    if not server.arguments_known:
        yield row(*_unread_arguments(server))
    if server.model.kind == "unknown" and server.model.id:
        yield row(
            server.model.place or server.anchor,
            f"model {server.model.id!r}",
            "holds a placeholder: model rules are not applied",
        )


def _unread_arguments(server: Server) -> tuple[Place, str, str]:
    """Why the command line is not known whole: a `--config` file, or a word without a value."""
    config = server.arguments.config
    if config is not None and not config.expanded:
        place = server.word_place(config.word) if config.word is not None else server.anchor
        named = f"file {config.path!r} of `--config`" if config.path else "the file of `--config`"
        return (
            place,
            named,
            "is not among the manifests: rules that need settings it may hold are not applied",
        )
    words = server.invocation.words
    unknown = next((word for word in words if word.text is None or "\0" in word.text), None)
    place = unknown.place if unknown is not None else server.anchor
    effect = "its value is not known: rules that need it are not applied"
    return place, f"argument {place.text.strip()!r}", effect


def _placeholders(workload: Workload, world: World) -> Iterator[LostInput]:
    """Placeholders in the fields of a pod that serves: such a field is not judged."""
    if not world.servers_in(workload):
        return
    stack: list[Node] = [workload.object.node]
    seen: set[int] = set()
    while stack:
        node = stack.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, Mapping):
            stack += [child for key, child in node.entries.items() if key not in _FREE_TEXT]
        elif isinstance(node, SequenceNode):
            stack += node.items
        elif (
            isinstance(node, Scalar)
            and node.style not in {"|", ">"}
            and (match := _PLACEHOLDER.search(node.text))
        ):
            place = node.part(match.start(), match.end())
            path, title = place.source.path, workload.object.title
            yield _row(
                path,
                place,
                title,
                None,
                f"placeholder {match.group()}",
                "is not filled in: what needs it is not judged",
            )


def _hidden_servers(
    world: World, workloads: Sequence[Workload]
) -> Iterator[tuple[Place, str, str | None, str, str]]:
    """Containers of a vLLM image whose program the manifest does not show."""
    for workload in workloads:
        servers = {
            server.container.index for server in world.servers_in(workload) if server.container.role != "init"
        }
        for container in workload.containers:
            words = (*(container.command or ()), *(container.args or ()))
            if container.role != "main" or container.index in servers or container.image is None:
                continue
            script = next((word for word in words if word.text.endswith((".sh", ".py"))), None)
            if "vllm" in container.image.text and isinstance(script, Scalar):
                yield (
                    script.place,
                    workload.object.title,
                    container.name,
                    f"script {script.text!r}",
                    "is not in the manifest: whether and how it starts vLLM is not known",
                )
