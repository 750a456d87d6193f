"""Pages on installing, roll-out and a bad day do what they say, command by command: `make test-docs`."""

import json
import re
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from mimamori.sandbox import Sandbox
from tests.docs.page import HOW_TO, Shell
from tests.docs.stage import Stage
from tests.fakes.worker_app import wait_for

Happens = Mapping[str, Callable[[], None]]


@pytest.fixture
def stage(sandbox: Sandbox, tmp_path: Path) -> Stage:
    return Stage(sandbox.bootstrap, tmp_path, f"{uuid.uuid4().hex[:8]}.")


@pytest.fixture
def shells() -> Iterator[list[Shell]]:
    started: list[Shell] = []
    yield started
    for shell in started:
        shell.kill()


def a_shell(stage: Stage, shells: list[Shell], happens: Happens) -> Shell:
    def between() -> None:
        stage.settle(alive="run" in shell.running)
        stage.send()

    shell = Shell(stage.folder, stage.prefix, stage.environment(), happens, between)
    shells.append(shell)
    return shell


def test_the_first_labels_come(stage: Stage, shells: list[Shell]) -> None:
    shell = a_shell(stage, shells, {})
    shell.read(HOW_TO / "install.md")
    stage.also(20)
    stage.settle(alive=True)
    shell.end()
    assert len(stage.outcomes) == stage.sent == stage.end_of_messages()


def test_an_upgrade_reads_nothing_again(stage: Stage, shells: list[Shell]) -> None:
    shell = a_shell(stage, shells, {})
    shell.between()
    shell.start("run", "mimamori run")  # the old release
    shell.read(HOW_TO / "upgrade.md")
    stage.settle(alive=True)
    shell.end()
    assert len(stage.outcomes) == stage.sent == stage.end_of_messages()


def test_messages_are_looked_at_and_sent_again(stage: Stage, shells: list[Shell]) -> None:
    def missing() -> None:
        stage.settle(alive=True)
        stage.send(3, task="scams")
        stage.settle(alive=True)

    shell = a_shell(
        stage,
        shells,
        {
            "the bundle of another task is missing": missing,
            "the bundle of another task is rolled out": lambda: shell.start(
                "run", "MIMAMORI_MORE_BUNDLES=bundles/scams mimamori run"
            ),
        },
    )
    shell.start("run", "mimamori run")
    shell.read(HOW_TO / "screen-again.md")
    stage.settle(alive=True)
    shell.end()
    assert {letter.reason for letter in stage.letters} == {"unknown_task"}
    again = [label for label in stage.labels if label.task == "scams"]
    assert len(stage.letters) == len(again) == 3
    # The first three stay dead letters; what was sent again is a record of its own.
    assert len(stage.outcomes) == stage.sent + 3 == stage.end_of_messages()


def test_a_bundle_is_watched_tried_rolled_out_and_taken_back(stage: Stage, shells: list[Shell]) -> None:
    rows = [f"a quiet evening {number},{'no' if number % 2 else 'yes'}" for number in range(20)]
    (stage.folder / "unseen.csv").write_text("\n".join(["text,at_risk", *rows]) + "\n")

    def week() -> None:
        stage.send(60)
        stage.settle(alive=True)
        wait_for(lambda: "mimamori_shadow_labels_total" in shell.metrics("run --shadow"), 60, "the shadow")

    def first_hour() -> None:
        stage.send(200)  # of which the draw gives a dozen to the canary; it would find none among a few
        stage.settle(alive=True)
        assert {label.bundle for label in stage.labels} == {stage.old.fingerprint, stage.new.fingerprint}

    shell = a_shell(stage, shells, {"a week goes by": week, "a canary's first hour": first_hour})
    shell.between()
    shell.start("run", "mimamori run")
    shell.read(HOW_TO / "change-a-bundle.md")
    stage.settle(alive=True)
    shell.end()
    assert len(stage.outcomes) == stage.sent
    bundles = [label.bundle for label in stage.labels]
    old, new = stage.old.fingerprint, stage.new.fingerprint
    assert set(bundles) == {old, new}


def test_what_was_lost_is_recovered(tmp_path: Path, shells: list[Shell]) -> None:
    """On a Kafka of its own, since its data is lost for real."""
    kafka = tmp_path / "sandbox"
    with Sandbox(kafka, redis=False) as sandbox:
        folder = tmp_path / "page"
        folder.mkdir()
        stage = Stage(sandbox.bootstrap, folder, "mimamori.")
        before: list[int] = []

        def disk_is_lost() -> None:
            stage.settle(alive=True)
            wait_for(lambda: open_cases(shell) == stage.sent, 60, "the queue")
            before.append(stage.sent)
            desk = shell.running.pop("review")
            desk.kill()
            desk.wait()
            stage.lose("desk")

        def as_before() -> None:
            wait_for(lambda: open_cases(shell) >= before[-1], 60, "the queue to be as before")

        def group_is_deleted() -> None:
            with pytest.raises(AssertionError, match=r"not committed: the group .* has 1 members"):
                shell.type("python docs/examples/recover.py positions --commit")
            shell.end("run")
            stage.delete_group()

        def one_outcome() -> None:
            stage.settle(alive=True)
            assert len(stage.outcomes) == stage.sent == stage.end_of_messages()

        def data_is_lost() -> None:
            stage.settle(alive=True)
            sandbox.kill_kafka()
            shell.kill()
            shutil.rmtree(kafka / "kafka")
            sandbox.start_kafka()
            stage.forget()
            stage.make_topics()
            lines = [json.dumps({"id": f"unanswered-{n}", "text": "are you there?"}) for n in range(3)]
            (folder / "unanswered.jsonl").write_text("\n".join(lines) + "\n")

        def sent_again() -> None:
            stage.also(3)
            one_outcome()

        happens = {
            "the desk's disk is lost": disk_is_lost,
            "the queue is as before": as_before,
            "the workers stop, and the group is deleted": group_is_deleted,
            "every message has exactly one outcome": one_outcome,
            "Kafka's data is lost": data_is_lost,
            "what was sent again has its outcome": sent_again,
        }
        shell = a_shell(stage, shells, happens)
        shell.read(HOW_TO / "recover.md")
        shell.end()


def open_cases(shell: Shell) -> float:
    page = shell.metrics("review")
    found = re.findall(r"^mimamori_review_open_cases\{.*\} (\S+)$", page, re.MULTILINE)
    return sum(map(float, found))
