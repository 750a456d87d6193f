"""The licence of an installed package, as an SPDX expression or, where there is none, by name.

    License-Expression (PEP 639)  ──►  that
    classifiers, License field    ──►  the SPDX id they stand for, where they leave no doubt
    BY_HAND                       ──►  what a person read, where the metadata says nothing clear

A package without any is an error: what is shipped has a licence that somebody may read.
"""

from importlib.metadata import PackageNotFoundError, metadata
from typing import Final

# Read by a person in the package's own licence file.
BY_HAND: Final = {
    "faust-streaming": "BSD-3-Clause",
    "jinja2": "BSD-3-Clause",
    "mode-streaming": "BSD-3-Clause",
    "onnxruntime-gpu": "MIT",  # not in the development environment; the same source as onnxruntime
    "protobuf": "BSD-3-Clause",
    "scipy": "BSD-3-Clause",  # and, of code it carries, as its LICENSE.txt says
    "tqdm": "MPL-2.0 AND MIT",
    "venusian": "LicenseRef-Repoze",  # BSD-like, with an attribution clause
}
# Proprietary, and redistributable in images under NVIDIA's terms; in the gpu image only.
NVIDIA: Final = "LicenseRef-NVIDIA-Proprietary"

_SPDX: Final = {
    "apache 2.0": "Apache-2.0",
    "apache license 2.0": "Apache-2.0",
    "apache software license": "Apache-2.0",
    "apache-2.0": "Apache-2.0",
    "apache license, version 2.0": "Apache-2.0",
    "bsd 3-clause": "BSD-3-Clause",
    "bsd 3-clause license": "BSD-3-Clause",
    "bsd-2-clause": "BSD-2-Clause",
    "bsd-3-clause": "BSD-3-Clause",
    "isc license (iscl)": "ISC",
    "mit": "MIT",
    "mit license": "MIT",
    "mozilla public license 2.0 (mpl 2.0)": "MPL-2.0",
    "mpl-2.0": "MPL-2.0",
    "nvidia proprietary software": NVIDIA,
    "other/proprietary license": NVIDIA,
    "python software foundation license": "PSF-2.0",
}


def licence_of(name: str) -> str:
    """SPDX expression of the package `name`. Raises LookupError: not installed, or not clear."""
    if name in BY_HAND:
        return BY_HAND[name]
    try:
        said = metadata(name).json
    except PackageNotFoundError:
        raise LookupError(f"{name} is not installed, and sbom/licences.py says nothing of it") from None
    if expression := str(said.get("license_expression", "")):
        return NVIDIA if expression.startswith("LicenseRef-NVIDIA") else str(expression)
    classifiers = said.get("classifier", [])
    named = [line.split(" :: ")[-1] for line in classifiers if line.startswith("License :: ")]
    field = str(said.get("license", ""))
    for candidate in (field, *named):
        if spdx := _SPDX.get(candidate.strip().lower()):
            return spdx
    raise LookupError(
        f"the licence of {name} is not clear ({', '.join(named) or field[:60] or 'nothing is said'}): read "
        "it, and add it to BY_HAND in sbom/licences.py"
    )
