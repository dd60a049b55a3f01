"""Container image references: registry, repository, tag and digest with their characters."""

from __future__ import annotations

from vllmlint.manifest.nodes import Scalar
from vllmlint.manifest.text import Place
from vllmlint.record import record
from vllmlint.regex import regex

#: A value that a template engine, kustomize or CI has still to fill in.
_PLACEHOLDER = regex(r"\$\{|\$\(|\{\{|<[A-Za-z_ -]+>|^\$[A-Z_]")


@record
class ImageReference:
    """An image reference.

    `registry` is empty for Docker Hub, `repository` is the path without the registry, `tag` and
    `digest` are empty when absent. `unresolved` is set when the text holds a placeholder: then no
    other field is to be trusted.
    """

    node: Scalar
    reference: str
    registry: str
    repository: str
    tag: str
    digest: str
    unresolved: bool

    @property
    def name(self) -> str:
        """The last part of the repository: `vllm-openai`."""
        return self.repository.rpartition("/")[2]

    @property
    def full_repository(self) -> str:
        """Registry and repository: `registry.example.com/ai/vllm`."""
        return f"{self.registry}/{self.repository}" if self.registry else self.repository

    @property
    def tag_place(self) -> Place:
        """The characters of the tag; of the whole reference when there is none."""
        if not self.tag:
            return self.node.content
        text = self.node.text
        blanks = len(text) - len(text.lstrip())
        end = blanks + len(self.reference) - (len(self.digest) + 1 if self.digest else 0)
        return self.node.part(end - len(self.tag), end)


def parse_image(node: Scalar) -> ImageReference:
    """Split an image reference; source of the grammar: distribution/reference."""
    text = node.text.strip()
    rest, _, digest = text.partition("@")
    head, slash, tail = rest.rpartition("/")
    name, _, tag = tail.partition(":")
    path = head + slash + name
    first, slash, remainder = path.partition("/")
    is_registry = bool(slash) and ("." in first or ":" in first or first == "localhost")
    registry, repository = (first, remainder) if is_registry else ("", path)
    if registry in {"docker.io", "index.docker.io"}:
        registry = ""
    repository = repository.removeprefix("library/") if not registry else repository
    return ImageReference(node, text, registry, repository, tag, digest, bool(_PLACEHOLDER.search(text)))
