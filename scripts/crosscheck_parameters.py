"""Compare parameters by module with what transformers builds from the same config.

    python scripts/crosscheck_parameters.py [MODEL_ID …] [--limit PERCENT]

Needs `torch` and `transformers`, which the project does not depend on. For every model of the catalogue (or
those named) a config of transformers' class is filled with the catalogue's fields and the model is built on
the meta device, which allocates nothing and downloads nothing. Prints one row a model: our count,
transformers', and the difference. Exit 1 where a difference exceeds the limit (0.2 % unless given). Models
whose type transformers does not have, and partial rows, are passed over and counted.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

from vllmlint.models.architecture import ModelArchitecture
from vllmlint.models.catalogue import catalogue_ids, find_architecture
from vllmlint.models.modules import parameter_count

#: Fields that configs of transformers spell otherwise, or that say nothing of shapes.
_SKIPPED = frozenset(
    {"quantization_config", "vision_config", "audio_config", "architectures", "model_type", "text_model_type"}
    | {"rope_scaling", "torch_dtype"}
)


def config_of(architecture: ModelArchitecture) -> Any:
    """A config of transformers with the catalogue's fields: the whole model's where it has a vision tower,
    else the text model's; None where transformers has no such class."""
    from transformers import CONFIG_MAPPING

    fields = {key: value for key, value in architecture.fields.items() if key not in _SKIPPED}
    vision = architecture.part("vision_config")
    whole = architecture.text("model_type").removesuffix("_text")
    if vision and whole in CONFIG_MAPPING:
        shapes = {key: value for key, value in vision.items() if key != "model_type"}
        tied = {"tie_word_embeddings": architecture.flag("tie_word_embeddings")}
        return CONFIG_MAPPING[whole](text_config=fields, vision_config=shapes, **tied)
    kind = architecture.model_type
    return CONFIG_MAPPING[kind](**fields) if kind in CONFIG_MAPPING else None


def built_parameters(architecture: ModelArchitecture) -> tuple[int, bool] | None:
    """Parameters of the model that transformers builds, tied ones once, and whether its towers are among
    them; None where it cannot build one."""
    import torch
    from transformers import AutoModel, AutoModelForCausalLM, AutoModelForImageTextToText

    config = config_of(architecture)
    if config is None:
        return None
    towers = hasattr(config, "vision_config")
    causal = "CausalLM" in architecture.class_name or "ConditionalGeneration" in architecture.class_name
    maker = AutoModelForCausalLM if causal else AutoModel
    if towers:
        maker = AutoModelForImageTextToText
    with torch.device("meta"):
        model = maker.from_config(config)
    model.tie_weights()
    return sum(parameter.numel() for parameter in {id(p): p for p in model.parameters()}.values()), towers


def main() -> int:
    """Print the comparison; 0 where all that could be compared agree."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("models", nargs="*")
    parser.add_argument("--limit", type=float, default=0.2, help="percent")
    options = parser.parse_args()
    off = compared = passed_over = 0
    seen: set[tuple[str, int]] = set()
    for model_id in options.models or catalogue_ids():
        architecture = find_architecture(model_id)
        count = None if architecture is None else parameter_count(architecture)
        if architecture is None or count is None or (architecture.class_name, count.text) in seen:
            continue
        seen.add((architecture.class_name, count.text))
        try:
            built = built_parameters(architecture)
        except Exception as error:  # a config that transformers itself cannot build is no finding of ours
            print(
                f"{model_id:50} cannot be built: {type(error).__name__}: {str(error)[:80]}", file=sys.stderr
            )
            built = None
        if built is None:
            passed_over += 1
            continue
        compared += 1
        theirs, towers = built
        ours = count.total if towers else count.text
        percent = 100 * (ours - theirs) / theirs
        off += abs(percent) > options.limit
        kind = "with towers" if towers else "text"
        print(f"{model_id:50} {kind:11} ours {ours:>17,} transformers {theirs:>17,} {percent:+.3f} %")
    print(f"compared {compared}, off by more than {options.limit} %: {off}; passed over: {passed_over}")
    return 1 if off else 0


if __name__ == "__main__":
    raise SystemExit(main())
