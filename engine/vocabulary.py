"""The words of settings, commands and bundles about where and how a model runs: each defined here, once."""

from typing import Literal

DeviceName = Literal["cpu", "openvino", "cuda"]
DeviceChoice = Literal["auto", DeviceName]
Precision = Literal["fp32", "bf16", "fp16", "int8"]
PrecisionChoice = Literal["auto", Precision]
StoredPrecision = Literal["fp32", "fp16"]  # that a bundle's graph can have
Output = Literal["pooled", "label_logits"]  # of a graph
Stage = Literal["risk", "severity"]  # of a task
