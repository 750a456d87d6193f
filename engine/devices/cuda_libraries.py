"""Finds CUDA's and cuDNN's libraries where pip has put them: the extra `gpu` brings them as packages.

ONNX Runtime's CUDA provider is linked with them by name alone, and the system looks in no package. Without
this it loads on machines that have a CUDA of their own, and nowhere else: not in our image.
"""

import io
from contextlib import redirect_stdout
from functools import cache
from typing import Any


@cache
def find_cuda(ort: Any) -> None:
    """Load them, once, before the first session on `cuda`. What is missing is the session's to refuse."""
    with redirect_stdout(io.StringIO()):  # it prints what it does not find
        ort.preload_dlls()
