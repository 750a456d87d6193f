"""Opens the graphs of bundles on devices. A graph that several bundles have in common is in memory once.

Bundles of several tasks, or of several adaptations, of one model differ in prefix and heads. Their graphs are
the same where they were cut at the same layer, which the checksums in bundle.json say. Then the graph is
compiled once, and each bundle gets a device of its own on it, with its prefix bound.
"""

import os
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import structlog

from engine.bundle import DEEPER, MODEL, Bundle, weights_of
from engine.device_names import Output
from engine.devices import onnxruntime, openvino
from engine.devices.choice import Choice
from engine.devices.device import Device, Graph, Part, Prefix
from engine.devices.stacked import StackedDevice

log = structlog.get_logger()


class Wanted(NamedTuple):
    """One output of a bundle's graph, on a device, with a prefix bound."""

    bundle: Bundle
    output: Output
    choice: Choice
    prefix: Prefix

    @property
    def graph(self) -> Graph:
        """The first graph, or the only one."""
        return Graph.of(self.bundle, self.output)

    @property
    def shared_by(self) -> Hashable:
        """Equal for those who can share a graph: the same files, which run as the same on the same device."""
        manifest = self.bundle.manifest
        names = (MODEL, weights_of(MODEL), DEEPER, weights_of(DEEPER))
        digests = tuple(manifest.files.get(name) for name in names)
        ran = msgspec.structs.replace(self.graph, model=Path(MODEL))
        return self.choice, digests, ran, manifest.layer


def open_devices(wanted: Sequence[Wanted], threads: int = 0, arena_bytes: int | None = None) -> list[Device]:
    """Open what is wanted, and return a device for each, in order.

    Of a cascade, both graphs are opened as one device, which reads to the full depth. `load_engine` explains
    the other arguments, and what is raised.
    """
    alike: dict[Hashable, list[int]] = {}
    for place, each in enumerate(wanted):
        alike.setdefault(each.shared_by, []).append(place)
    opened: dict[int, Device] = {}
    for places in alike.values():
        together = [wanted[place] for place in places]
        opened |= zip(places, _open_alike(together, threads, arena_bytes), strict=True)
        if len(wanted) > 1:
            log.info("graph_opened", for_bundles=[each.bundle.fingerprint[:12] for each in together])
    return [opened[place] for place in range(len(wanted))]


def open_device(
    choice: Choice, graph: Graph, prefix: Prefix, threads: int = 0, arena_bytes: int | None = None
) -> Part:
    """Open a graph with the prefix bound. `load_engine` explains the arguments."""
    (part,) = _open_parts(choice, graph, [prefix], threads, arena_bytes)
    return part


def _open_alike(wanted: Sequence[Wanted], threads: int, arena_bytes: int | None) -> Sequence[Device]:
    """Open what can share a graph."""
    bundle, _, choice, _ = one = wanted[0]
    prefixes = [each.prefix for each in wanted]
    parts = _open_parts(choice, one.graph, prefixes, threads, arena_bytes)
    if bundle.manifest.shallow is None:
        return parts
    after = [prefix._replace(states=part.prefix_states) for prefix, part in zip(prefixes, parts, strict=True)]
    deeper = _open_parts(choice, Graph.deeper(bundle), after, threads, arena_bytes)
    return [StackedDevice(first, second) for first, second in zip(parts, deeper, strict=True)]


def _open_parts(
    choice: Choice, graph: Graph, prefixes: Sequence[Prefix], threads: int, arena_bytes: int | None
) -> Sequence[Part]:
    threads = threads or _cores()
    if choice.device == "openvino":
        return openvino.open_graph(graph, prefixes, precision=choice.precision, threads=threads)
    return onnxruntime.open_graph(
        graph, prefixes, device=choice.device, threads=threads, arena_bytes=arena_bytes
    )


def _cores() -> int:
    """Count the cores this process may use. A container's CPU quota does not count: set `threads` for it."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
