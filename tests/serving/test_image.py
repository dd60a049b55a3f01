"""Image references, split as container runtimes split them, with the exact characters of the tag."""

from __future__ import annotations

import pytest
from serving_samples import image_node

from vllmlint.serving.image import parse_image

DIGEST = "sha256:" + "0" * 64


@pytest.mark.parametrize(
    ("reference", "registry", "repository", "tag", "digest"),
    [
        ("vllm", "", "vllm", "", ""),
        ("vllm:1", "", "vllm", "1", ""),
        ("vllm/vllm-openai:v0.33.0", "", "vllm/vllm-openai", "v0.33.0", ""),
        ("docker.io/vllm/vllm-openai:v1", "", "vllm/vllm-openai", "v1", ""),
        ("index.docker.io/vllm/vllm-openai", "", "vllm/vllm-openai", "", ""),
        ("docker.io/library/redis:7", "", "redis", "7", ""),
        ("library/redis", "", "redis", "", ""),
        ("quay.io/library/redis", "quay.io", "library/redis", "", ""),
        ("registry.example.com/ai/vllm:stable", "registry.example.com", "ai/vllm", "stable", ""),
        ("registry.example.com:5000/vllm", "registry.example.com:5000", "vllm", "", ""),
        ("registry:5000/a/b/c:t", "registry:5000", "a/b/c", "t", ""),
        ("localhost/vllm:t", "localhost", "vllm", "t", ""),
        ("localhost:5000/vllm:t", "localhost:5000", "vllm", "t", ""),
        (f"a/b@{DIGEST}", "", "a/b", "", DIGEST),
        (f"a.io/b:t@{DIGEST}", "a.io", "b", "t", DIGEST),
        (f"a.io:80/b@{DIGEST}", "a.io:80", "b", "", DIGEST),
        ("", "", "", "", ""),
    ],
)
def test_parts(reference: str, registry: str, repository: str, tag: str, digest: str) -> None:
    found = parse_image(image_node(f"'{reference}'"))
    assert (found.registry, found.repository, found.tag, found.digest) == (registry, repository, tag, digest)
    assert found.reference == reference
    assert found.full_repository == (f"{registry}/{repository}" if registry else repository)
    assert found.name == repository.rpartition("/")[2]
    assert not found.unresolved


@pytest.mark.parametrize(
    "dress", ["{}", "'{}'", '"{}"', "&image {}", "' {} '", "|\n  {}", ">-\n  {}", "!!str {}"]
)
@pytest.mark.parametrize("end", ["", f"@{DIGEST}"])
def test_the_place_of_the_tag(dress: str, end: str) -> None:
    found = parse_image(image_node(dress.format(f"r.io:80/tag/vllm:tag{end}")))
    place = found.tag_place
    assert place.text == "tag"
    assert place.source.text[place.start - 1 : place.end + 1].strip("\n'\" ") in {":tag", ":tag@"}


def test_without_a_tag_the_whole_reference_is_the_place() -> None:
    assert parse_image(image_node("'r.io:80/vllm'")).tag_place.text == "r.io:80/vllm"


@pytest.mark.parametrize(
    "reference",
    ["r.io/vllm:${TAG}", "$(IMAGE)", "$IMAGE", "'{{ .image }}'", "r.io/vllm:<tag>", "<YOUR_REGISTRY>/vllm:1"],
)
def test_placeholders(reference: str) -> None:
    assert parse_image(image_node(reference)).unresolved
