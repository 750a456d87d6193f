"""The rights that pages name for docs/examples/recover.py are enough on a Kafka with ACLs, and all needed."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any, Final

import confluent_kafka as ck
import pytest

from mimamori.sandbox import Sandbox
from schemas import load_topics
from schemas.rights import Right
from tests.docs.page import ROOT
from tests.fakes.guarded_kafka import PASSWORD
from worker.kafka.acls import admit
from worker.kafka.topics import apply_topics

OUTCOMES: Final = [Right("topic", f"mimamori.{name}", "Read") for name in ("labels", "dead-letters")]
READER: Final = Right("group", "mimamori-recover", "Describe")
RIGHTS: Final = {
    "positions": [
        *OUTCOMES,
        READER,
        Right("topic", "mimamori.messages", "Describe"),
    ],
    "positions --commit": [
        *OUTCOMES,
        READER,
        Right("topic", "mimamori.messages", "Read"),
        Right("group", "mimamori", "Read"),
    ],
    "send-again --dead-letters --send": [
        OUTCOMES[1],
        READER,
        Right("topic", "mimamori.messages", "Read"),
        Right("topic", "mimamori.messages", "Write"),
    ],
}


@pytest.fixture(scope="module")
def guarded() -> Iterator[Sandbox]:
    with Sandbox(redis=False, secured=True) as sandbox:
        config: dict[str, Any] = sandbox.admin_config
        apply_topics(config, load_topics("mimamori.", replication_factor=1, partitions=1))
        letters = json.loads((ROOT / "schemas/examples/dead-letter.json").read_text("utf-8"))
        letter = letters[0]["payload"] | {
            "origin": {"topic": "mimamori.messages", "partition": 0, "offset": 0}
        }
        producer = ck.Producer(config)
        producer.produce("mimamori.messages", b"{}", b"a key")
        producer.produce("mimamori.dead-letters", json.dumps(letter), b"a key")
        assert producer.flush(60) == 0
        yield sandbox


def run(sandbox: Sandbox, user: str, command: str) -> "subprocess.CompletedProcess[str]":
    login = {
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": user,
        "sasl.password": PASSWORD,
    }
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MIMAMORI_")}
    environment |= {"MIMAMORI_BOOTSTRAP": sandbox.bootstrap, "KAFKA_CONFIG": json.dumps(login)}
    script = str(ROOT / "docs/examples/recover.py")
    return subprocess.run(
        [sys.executable, script, *command.split()],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )


def users(command: str) -> dict[str, list[Right]]:
    """One with all of its rights, and one without each."""
    rights = RIGHTS[command]
    name = command.replace(" ", "-")
    return {name: rights} | {
        f"{name}-{number}": [right for right in rights if right is not lacking]
        for number, lacking in enumerate(rights)
    }


@pytest.mark.parametrize("command", RIGHTS)
def test_the_rights_of_the_page_are_enough_and_each_is_needed(guarded: Sandbox, command: str) -> None:
    given = users(command)
    admit(guarded.admin_config, dict.fromkeys(given, PASSWORD), given)
    (whole, *lacking) = given
    for user in lacking:
        done = run(guarded, user, command)
        assert done.returncode != 0, f"{user} needs no more than {given[user]}: {done.stdout}"
    done = run(guarded, whole, command)
    assert done.returncode == 0, done.stdout + done.stderr
