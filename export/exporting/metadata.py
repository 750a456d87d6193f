"""Refuses a GGUF whose metadata contradicts the model that transformers 4.57 makes of it.

transformers does not read these values: it silently takes the family's defaults instead. The parity check
could not notice, because the original model that it asks would be the wrong one.
"""

from typing import Any, Final

from export.building.tensors import Tensors
from export.errors import ExportError
from export.exporting.shapes import Shapes

# A key below the architecture's name -> the attribute of the config that must have the same value.
_READ_AS: Final = {
    "attn_logit_softcapping": "attn_logit_softcapping",
    "final_logit_softcapping": "final_logit_softcapping",
    "attention.sliding_window": "sliding_window",
}


def check_metadata(file: Tensors, config: Any, shapes: Shapes, model: str) -> None:
    """Raise ExportError where the GGUF describes another model than the one that transformers made of it."""
    architecture = file.value("general.architecture")
    stated = {key: file.value(f"{architecture}.{key}") for key in _READ_AS}
    window = stated["attention.sliding_window"]
    if window is not None and window >= shapes.context:
        del stated["attention.sliding_window"]
    wrong = [key for key, value in stated.items() if value and value != getattr(config, _READ_AS[key], None)]
    if file.value(f"{architecture}.attention.key_length") not in {None, shapes.head_dim}:
        wrong.append("attention.key_length")
    if file.value(f"{architecture}.rope.scaling.type") not in {None, "none"}:
        wrong.append("rope.scaling.type")
    if wrong:
        raise ExportError(
            f"{model} states {wrong[0]}, which transformers ignores in a GGUF: "
            "export the model from its safetensors instead"
        )
