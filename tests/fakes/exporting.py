"""Exports for tests: proven on the CPU in fp32 alone, whatever else this machine has, in a given form."""

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
    """`export_model` for random weights, which bf16 may turn over: they decide labels by hairs."""
    return export_model(model, task, out, *others, form=form, shots=shots, device="cpu")
