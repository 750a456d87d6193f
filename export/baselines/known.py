"""The baselines by name, as `--baseline` of a command gives them: NAME, or NAME:WHAT.

tf-idf                     needs nothing
embedding:FOLDER           a folder as sentence-transformers writes it
bundle:FOLDER              another bundle, of any family, for the same task
endpoint:MODEL             zero-shot, at the endpoint that was agreed to
endpoint-few-shot:MODEL    with each draw's examples as earlier turns
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from engine.bundle import Bundle
from engine.device_names import DeviceChoice, PrecisionChoice
from engine.errors import SettingsError
from engine.load import load_engine
from engine.task import Task
from export.baselines.bundle import BundleWay
from export.baselines.endpoint.address import Address, Key, address_of, read_key
from export.baselines.endpoint.endpoint import Asking, Endpoint
from export.baselines.endpoint.way import EndpointWay
from export.baselines.sentences import SentenceEmbedding, SentencesWay
from export.baselines.words import WordsWay

Baseline = WordsWay | SentencesWay | BundleWay | EndpointWay

_FEW_SHOT: Final = "endpoint-few-shot"
_ENDPOINTS: Final = frozenset({"endpoint", _FEW_SHOT})
# Whether something must stand behind the name.
NAMES: Final = {
    "tf-idf": "",
    "embedding": "FOLDER",
    "bundle": "FOLDER",
    "endpoint": "MODEL",
    _FEW_SHOT: "MODEL",
}


class Machine(NamedTuple):
    """Where models of this machine run, as in `load_engine`."""

    device: DeviceChoice = "auto"
    precision: PrecisionChoice = "auto"
    threads: int = 0


class Outside(msgspec.Struct, frozen=True):
    """The endpoint, the consent that names its host, where its key is, and how it is asked."""

    url: str | None = None
    consent: str | None = None
    key_variable: str | None = None
    key_file: Path | None = None
    asking: Asking = Asking()


def baselines(
    names: Sequence[str],
    task: Task,
    *,
    machine: Machine = Machine(),  # noqa: B008 - immutable
    outside: Outside = Outside(),  # noqa: B008 - immutable
    tell: Callable[[str], None] = lambda _: None,
    seed: int = 0,
) -> list[Baseline]:
    """Make the ways of `names`, in their order. Nothing is sent anywhere yet; `tell` is for when it is.

    Raises SettingsError: a name is unknown, or lacks what it needs, or an endpoint was not agreed to.
    BundleError, DeviceError: a model cannot be opened.
    """
    asked = [_parsed(name) for name in dict.fromkeys(names)]
    # What costs nothing to check comes before what takes seconds to open.
    reached = _reach(outside) if any(kind in _ENDPOINTS for kind, _ in asked) else None
    endpoints: dict[str, Endpoint] = {}
    made: list[Baseline] = []
    for kind, what in asked:
        if kind == "tf-idf":
            made.append(WordsWay(seed))
        elif kind == "embedding":
            device, precision, threads = machine
            opened = SentenceEmbedding(Path(what), device=device, precision=precision, threads=threads)
            made.append(SentencesWay(opened, seed))
        elif kind == "bundle":
            made.append(_bundle(Path(what), task, machine))
        elif reached is not None:
            address, key = reached
            if what not in endpoints:  # zero-shot and few-shot share what was paid and what was learnt
                endpoints[what] = Endpoint(address, what, task.risk, key, outside.asking, tell, seed)
            made.append(EndpointWay(endpoints[what], task, few_shot=kind == _FEW_SHOT))
    return made


def _parsed(name: str) -> tuple[str, str]:
    kind, _, what = name.partition(":")
    if kind not in NAMES or bool(what) != bool(NAMES[kind]):
        known = ", ".join(f"{each}:{needs}" if needs else each for each, needs in NAMES.items())
        raise SettingsError(f"no baseline {name[:80]!r}: there are {known}")
    return kind, what


def _reach(outside: Outside) -> tuple[Address, Key | None]:
    if outside.url is None:
        raise SettingsError(
            "a baseline behind an endpoint needs --endpoint, such as https://api.openai.com/v1"
        )
    return address_of(outside.url, outside.consent), read_key(outside.key_variable, outside.key_file)


def _bundle(path: Path, task: Task, machine: Machine) -> BundleWay:
    bundle = Bundle.load(path)
    if bundle.manifest.task.name != task.name:
        raise SettingsError(
            f"{path} is for the task {bundle.manifest.task.name}, and what is measured is {task.name}: "
            "export it for that task"
        )
    device, precision, threads = machine
    engine = load_engine(bundle, device=device, precision=precision, threads=threads)
    return BundleWay(bundle.manifest.source.name, engine)
