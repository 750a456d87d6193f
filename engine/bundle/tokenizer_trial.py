"""Tries a tokenizer.json in a separate process, where excessive use of memory or time does no harm.

The `tokenizers` library is native code that trusts its file: a list of a few hundred kilobytes keeps it busy
for minutes, thirty replacements of "a" by "aa" exhaust any memory, and the time of a pattern may double with
each letter of a text. None of this can be seen in the file or stopped inside a process. The trial shows that
the file loads, and that it tokenises the prompt and some texts known to be hard, within bounds. It does not
show that no message is harder.
"""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from engine.errors import BundleError

# bytes of address space; a real one with 262,000 words and 514,000 merges took 360 MB
_MEMORY: Final = 900 << 20
_SECONDS: Final = 8  # of CPU time, so that a busy machine refuses no more than an idle one
_PATIENCE_S: Final = 120.0

# Texts on which patterns are slow: runs of one kind of character or of several, with and without an end that
# does not match.
_HARD: Final = tuple(
    unit * (2000 // len(unit)) + end
    for unit in ("a", "A1", "0", " ", "!", "\n", "ab ", "é", "見")
    for end in ("", "#")
)

_CHILD: Final = """
import json, os, sys
try:
    import resource
except ImportError:  # not on every system; then it is a process of its own, and no more
    pass
else:
    resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[2]),) * 2)
    resource.setrlimit(resource.RLIMIT_CPU, (int(sys.argv[3]),) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
texts = json.loads(sys.stdin.buffer.read())
try:
    from tokenizers import Tokenizer
    tokenizer = Tokenizer.from_file(sys.argv[1])
    tokenizer.no_truncation()
    tokenizer.no_padding()
    for special in (False, True):
        tokenizer.encode_special_tokens = special
        tokenizer.encode_batch_fast(texts, add_special_tokens=False)
except BaseException as error:  # a panic of Rust's is no Exception
    sys.stdout.write(str(error)[:300])
    sys.stdout.flush()
    os._exit(1)
sys.stdout.flush()
os._exit(0)  # freeing millions of words takes as long as making them
"""

_tried: set[tuple[str, ...]] = set()


def try_tokenizer(file: Path, digest: str, texts: Sequence[str]) -> None:
    """Load `file` and tokenise `texts` in another process; a `digest` that passed is not tried again.

    Raises BundleError: it cannot be loaded, or takes more time or memory than any real one.
    """
    if digest and (digest, *texts) in _tried:
        return
    environment = os.environ | {
        "RAYON_NUM_THREADS": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "RUST_BACKTRACE": "0",
    }
    try:
        done = subprocess.run(  # noqa: S603 - this interpreter, on this text
            [sys.executable, "-c", _CHILD, str(file), str(_MEMORY), str(_SECONDS)],
            input=msgspec.json.encode([*texts, *_HARD]),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            timeout=_PATIENCE_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise BundleError(_refusal(file, "it takes too long")) from None
    if done.returncode:
        said = " ".join(done.stdout.decode(errors="replace").split())
        raise BundleError(_refusal(file, said or f"it takes more than {_SECONDS} s or {_MEMORY >> 20} MB"))
    _tried.add((digest, *texts))


def _refusal(file: Path, reason: str) -> str:
    return f"cannot read {file}: {reason}; export or build it again"
