"""Exports for tests: proven on the CPU in fp32 alone, whatever else this machine has, in a given form."""

from pathlib import Path
from typing import Any

from export.exporter import Exported, export_model
from export.forms import Form
from worker.task import Task


def export_on_cpu(model: str, task: Task, out: Path, *others: Any, form: Form = "joined") -> Exported:
    """`export_model` for random weights, which bf16 may turn over: they decide labels by hairs."""
    return export_model(model, task, out, *others, form=form, device="cpu")
