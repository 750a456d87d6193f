"""One worker on a real Kafka with two real tasks of one model, and a canary of one of them."""

import json
import shutil
from pathlib import Path

import msgspec

from engine.bundle import Bundle, read_manifest, write_manifest
from engine.task import SHIPPED, load_task
from export.examples import LabelledExample, read_examples
from mimamori.sandbox import Sandbox
from tests.integration.test_end_to_end import Platform
from worker.stream.routing import draw

SHARE = 0.5


def held_out(task: str) -> list[LabelledExample]:
    return read_examples(SHIPPED / f"{task}.heldout.jsonl", load_task(task))[:24]


def candidate(bundle: Path, folder: Path) -> Path:
    """The same bundle under another policy: a fingerprint of its own, and the same scores."""
    copied = Path(shutil.copytree(bundle, folder))
    manifest, _ = read_manifest(copied)
    policy = msgspec.structs.replace(manifest.task.policy, quality_sample_share=0.5)
    task = msgspec.structs.replace(manifest.task, policy=policy)
    write_manifest(copied, msgspec.structs.replace(manifest, task=task))
    return copied


def value(number: int, text: str, **more: str) -> bytes:
    return json.dumps({"id": f"m{number}", "text": text, **more}).encode()


def test_each_message_is_labelled_once_by_the_bundle_of_its_task(
    sandbox: Sandbox, stress_bundle: Path, risk_bundle: Path, tmp_path: Path
) -> None:
    new = candidate(stress_bundle, tmp_path / "new")
    stress, risk = held_out("stress"), held_out("suicide-risk")
    platform = Platform(
        sandbox,
        stress_bundle,
        tmp_path,
        more_bundles=risk_bundle,
        canary_bundle=new,
        canary_share=SHARE,
    )
    try:
        platform.start_worker()
        platform.send(
            *(value(number, each.text) for number, each in enumerate(stress)),
            *(value(100 + number, each.text, task="suicide-risk") for number, each in enumerate(risk)),
            value(200, "are you coming on Sunday?", task="scams"),
        )
        platform.wait(lambda: len(platform.outcomes()) == len(stress) + len(risk) + 1)
    finally:
        platform.end()
    assert set(platform.outcomes().values()) == {1}
    old, of_risk, on_trial = (Bundle.load(path).fingerprint for path in (stress_bundle, risk_bundle, new))
    labels = {str(label["message_id"]): label for label in platform.read("labels")}
    for number in range(len(stress)):
        label = labels[f"m{number}"]
        drawn = draw("canary:", f"m{number}") < SHARE
        assert (label["task"], label["bundle"]) == ("stress", on_trial if drawn else old)
    flagged = []
    for number, example in enumerate(risk):
        label = labels[f"m{100 + number}"]
        assert (label["task"], label["bundle"]) == ("suicide-risk", of_risk)
        if example.at_risk:
            flagged.append(label["verdict"] != "clear")
    assert sum(flagged) >= 0.8 * len(flagged)
    assert {label["bundle"] for label in labels.values()} == {old, of_risk, on_trial}
    (letter,) = platform.read("dead-letters")
    assert (letter["reason"], letter["detail"]) == (
        "unknown_task",
        "this worker screens for stress, suicide-risk",
    )
    # The weights are in memory once for all three.
    opened = [json.loads(line) for line in platform.log().splitlines() if "graph_opened" in line]
    assert [line["for_bundles"] for line in opened] == [[old[:12], of_risk[:12], on_trial[:12]]]
