"""`python -m sbom.generate`: writes the bill of materials of each image, and the table of licences.

    python -m sbom.generate           write sbom/*.cdx.json and sbom/licences.md
    python -m sbom.generate --check   exit with 1 where the files are out of date

It reads the lock files that the image installs from (`requirements/`), so it lists what is shipped, and no
development tools. Hashes come from the lock files, licences from the installed packages. The Debian packages
and the Python of the base image are not listed; whoever builds the image can list them with `docker sbom`.
"""

import argparse
import sys
import tomllib
import uuid
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path
from typing import Final

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from sbom.licences import licence_of

HERE: Final = Path(__file__).parent
REQUIREMENTS: Final = HERE.parent / "requirements"
IMAGES: Final = ("cpu", "gpu")
LICENCES: Final = HERE / "licences.md"
# The image is Linux on x86-64 with CPython 3.11. The lock also holds packages for other platforms.
_SHIPPED_ON: Final = {
    "implementation_name": "cpython",
    "os_name": "posix",
    "platform_machine": "x86_64",
    "platform_python_implementation": "CPython",
    "platform_system": "Linux",
    "python_full_version": "3.11.16",
    "python_version": "3.11",
    "sys_platform": "linux",
}


def shipped(image: str) -> dict[str, str]:
    """The packages that the image `image` installs, with their versions, by name."""
    pins: dict[str, str] = {}
    for file in (REQUIREMENTS / f"{image}.txt", REQUIREMENTS / "model.txt"):
        for line in file.read_text().splitlines():
            if line.startswith((" ", "#")):
                continue
            pin = Requirement(line.split(" --hash")[0].removesuffix("\\"))
            if pin.marker is None or pin.marker.evaluate(dict(_SHIPPED_ON)):
                pins[canonicalize_name(pin.name)] = next(iter(pin.specifier)).version
    return dict(sorted(pins.items()))


def bill(image: str) -> str:
    """The image's bill of materials as CycloneDX 1.6 JSON. The same lock gives the same bytes.

    Raises LookupError: a package's licence is unclear. ValueError: the result is not valid CycloneDX.
    """
    project = tomllib.loads((HERE.parent / "pyproject.toml").read_text())["project"]
    factory = LicenseFactory()

    def component(name: str, version: str, licence: str, kind: ComponentType) -> Component:
        return Component(
            name=name,
            version=version,
            type=kind,
            bom_ref=f"{name}=={version}",
            purl=PackageURL("pypi", None, name, version),
            licenses=[factory.make_from_string(licence)],
        )

    pins = shipped(image)
    parts = {name: component(name, pins[name], licence_of(name), ComponentType.LIBRARY) for name in pins}
    bom = Bom(components=parts.values())
    bom.metadata.component = component(
        f"mimamori-{image}", project["version"], project["license"], ComponentType.APPLICATION
    )
    bom.register_dependency(bom.metadata.component, parts.values())
    for name, part in parts.items():
        bom.register_dependency(part, [parts[other] for other in _needs(name) if other in parts])
    written = "\n".join(f"{name}=={version}" for name, version in pins.items())
    bom.serial_number = uuid.uuid5(uuid.NAMESPACE_URL, f"{image} {project['version']}\n{written}")
    bom.metadata.timestamp = None  # type: ignore[assignment] # the same bytes on every day
    text: str = JsonV1Dot6(bom).output_as_string(indent=2) + "\n"
    if fault := JsonStrictValidator(SchemaVersion.V1_6).validate_str(text):
        raise ValueError(f"the bill of materials is not valid CycloneDX: {fault}")
    return text


def _needs(name: str) -> list[str]:
    """The dependencies of an installed package, without extras; empty where it is not installed."""
    try:
        lines = requires(name) or []
    except PackageNotFoundError:
        return []
    asked = map(Requirement, lines)
    return sorted(
        canonicalize_name(each.name)
        for each in asked
        if each.marker is None or each.marker.evaluate({**_SHIPPED_ON, "extra": ""})
    )


def licences() -> str:
    """The table of shipped packages, with their images and licences."""
    images = {image: shipped(image) for image in IMAGES}
    versions = dict(sorted({name: pin for pins in images.values() for name, pin in pins.items()}.items()))
    lines = [
        "# Licences of what is shipped",
        "",
        "Made by `make sbom` from `requirements/`; the licence texts are in the packages themselves.",
        "",
        "| package | version | licence | images |",
        "|---|---|---|---|",
    ]
    for name, version in versions.items():
        within = ", ".join(image for image, pins in images.items() if name in pins)
        lines.append(f"| {name} | {version} | {licence_of(name)} | {within} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    """Write or check the files. Returns 1 where a checked file is out of date."""
    parser = argparse.ArgumentParser(
        prog="python -m sbom.generate",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 where a file is stale")
    options = parser.parse_args()
    try:
        files = {HERE / f"mimamori-{image}.cdx.json": bill(image) for image in IMAGES}
        files[LICENCES] = licences()
    except LookupError as error:
        print(f"sbom: {error}", file=sys.stderr)
        return 1
    stale = [file for file, text in files.items() if not file.is_file() or file.read_text() != text]
    if options.check:
        for file in stale:
            print(f"sbom: {file.name} is not what would be written today: run `make sbom`", file=sys.stderr)
        return bool(stale)
    for file, text in files.items():
        file.write_text(text)
        print(f"sbom: {file.relative_to(HERE.parent)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
