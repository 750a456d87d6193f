"""Says what the processor of this machine multiplies quickly, from what Linux tells about it."""

from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

_CPUINFO: Final = Path("/proc/cpuinfo")


class Processor(NamedTuple):
    """Its vendor and flags, as Linux names them; empty on other systems."""

    vendor: str
    flags: frozenset[str]

    @property
    def is_quick_in_bf16(self) -> bool:
        """Whether products in bf16 are quicker than in fp32. Only a processor that has bf16 is asked.

        Tiles (AMX) are, and so is AVX512_BF16 on AMD. An Intel processor with AVX512_BF16 whose tiles are
        hidden from the machine, as some clouds do, is slower in bf16 than in fp32 (`bench/precisions.py`).
        """
        return self.vendor != "GenuineIntel" or "amx_bf16" in self.flags


@cache
def this_processor() -> Processor:
    """The processor of this machine."""
    return parse(_CPUINFO.read_text(errors="replace") if _CPUINFO.is_file() else "")


def parse(cpuinfo: str) -> Processor:
    """The first processor of a `/proc/cpuinfo`."""
    told: dict[str, str] = {}
    for line in cpuinfo.splitlines():
        name, _, value = line.partition(":")
        told.setdefault(name.strip(), value.strip())
    return Processor(told.get("vendor_id", ""), frozenset(told.get("flags", "").split()))
