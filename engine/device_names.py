"""Defines the words by which settings, commands and bundles say where and how a model runs."""

from typing import Final, Literal

DeviceName = Literal["cpu", "openvino", "cuda"]
DeviceChoice = Literal["auto", DeviceName]
Precision = Literal["fp32", "bf16", "fp16", "int8"]
PrecisionChoice = Literal["auto", Precision]
StoredPrecision = Literal["fp32", "fp16"]  # of a bundle's graph
Output = Literal["pooled", "label_logits"]  # of a graph
STATES: Final = "token_states"  # another output of a cut graph; pooled is the mean of these
Stage = Literal["risk", "severity"]  # of a task
