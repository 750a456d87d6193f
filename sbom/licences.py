"""Finds the licence of an installed package, as an SPDX expression or, where there is none, by name.

    License-Expression (PEP 639)  ──►  that expression
    classifiers, License field    ──►  their SPDX id, where they are unambiguous
    BY_HAND                       ──►  what a person read, where the metadata is unclear

A package without any is an error, so that a licence is known for everything that is shipped.
"""

from importlib.metadata import PackageNotFoundError, metadata
from typing import Final

# A person read these in the packages' own licence files.
BY_HAND: Final = {
    "faust-streaming": "BSD-3-Clause",
    "jinja2": "BSD-3-Clause",
    "mode-streaming": "BSD-3-Clause",
    "onnxruntime-gpu": "MIT",  # not installed for development; it has the same source as onnxruntime
    "protobuf": "BSD-3-Clause",
    "scipy": "BSD-3-Clause",  # the last are of bundled code, as its LICENSE.txt says
    "tqdm": "MPL-2.0 AND MIT",
    "venusian": "LicenseRef-Repoze",  # BSD-like, with an attribution clause
}
# Proprietary, but redistributable in images under NVIDIA's terms. Only the gpu image has them.
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
    """The SPDX expression of the package `name`. Raises LookupError: not installed, or unclear."""
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
