"""What could not be judged is said, with its place and its reason."""

from __future__ import annotations

from pathlib import Path

import pytest
from lint_samples import lint

POD = """\
apiVersion: v1
kind: Pod
metadata: {{name: llama}}
spec:
  {pod}
  containers:
    - name: vllm
      image: {image}
      {command}
"""


def lost(
    directory: Path,
    image: str = "vllm/vllm-openai:v0.33.0",
    command: str = "args: [--model=org/m]",
    pod: str = "",
) -> list[str]:
    result = lint(directory, POD.format(image=image, command=command, pod=pod or "hostname: a"))
    return [f"{one.line}: {one.input} {one.effect}" for one in result.lost_inputs]


def test_nothing_is_lost_where_everything_is_told(tmp_path: Path) -> None:
    assert lost(tmp_path) == []


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"image": "registry.example.com/vllm:stable"}, "8: vLLM release the image does not tell it"),
        ({"image": "${REGISTRY}/vllm:v0.33.0"}, "8: image '${REGISTRY}/vllm:v0.33.0' holds a placeholder"),
        (
            {"command": "args: [--model=org/m, --config, /etc/vllm/config.yaml]"},
            "9: file '/etc/vllm/config.yaml' of `--config` is not among the manifests",
        ),
        (
            {"command": "command: [bash, -c, 'exec vllm serve org/m $(cat /etc/flags)']"},
            "9: argument '$(cat /etc/flags)' its value is not known",
        ),
        ({"command": "args: ['${MODEL}']"}, "9: model '${MODEL}' holds a placeholder"),
        ({"pod": "hostname: ${HOST}"}, "5: placeholder ${HOST} is not filled in"),
        ({"command": "command: [/opt/start.sh]"}, "9: script '/opt/start.sh' is not in the manifest"),
    ],
)
def test_each_lost_input_names_its_place_and_reason(
    tmp_path: Path, change: dict[str, str], expected: str
) -> None:
    rows = lost(tmp_path, **change)
    assert any(row.startswith(expected) for row in rows), rows
