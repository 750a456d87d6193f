"""Exports models for tests, in a given form and proven only on the CPU in fp32, whatever this machine has."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from engine.task import Task
from export.exporting.exporter import Exported, export_model
from export.exporting.forms import Form
from export.exporting.prompt import Shot


def export_on_cpu(
    model: str, task: Task, out: Path, *others: Any, form: Form = "joined", shots: Sequence[Shot] = ()
) -> Exported:
    """Call `export_model` on the CPU: the labels of random weights are so close that bf16 may flip them."""
    return export_model(model, task, out, *others, form=form, shots=shots, device="cpu")
