"""Finds CUDA's and cuDNN's libraries where pip has put them: the extra `gpu` brings them as packages.

ONNX Runtime's CUDA provider is linked with them by name alone, and the system looks in no package. Without
this it loads on machines that have a CUDA of their own, and nowhere else: not in our image.
"""

import io
import re
from contextlib import redirect_stdout
from functools import cache
from typing import Any


@cache
def find_cuda(ort: Any) -> tuple[str, ...]:
    """Load them, once, before the first session on `cuda`; returns the names of those that are not to be had.

    Whether it can do without one is for the session to say.
    """
    said = io.StringIO()
    with redirect_stdout(said):  # the library returns nothing, and prints what it does not find
        ort.preload_dlls()
    names = re.findall(r"^Failed to load (.*?):", said.getvalue(), re.MULTILINE)
    return tuple(sorted({name.rpartition("/")[2] for name in names}))


def without(missing: tuple[str, ...]) -> str:
    """What an error says of them."""
    return f" (not found: {', '.join(missing)})" if missing else ""
