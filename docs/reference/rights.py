"""Makes `rights.md`: what each part may do in Kafka, from the one list of rights."""

from typing import Final

from mimamori.cli.acls import table
from schemas.rights import PARTS, rights_of

INTRODUCTION: Final = """# Rights in Kafka

What each part needs where Kafka has ACLs, and nothing else: the tests run each part with exactly these
rights, and show for each single one that the part fails without it. Names are those of the default settings;
`mimamori topics acls` prints the list for yours, as commands of `kafka-acls.sh` or as Strimzi's `KafkaUser`.
[Secure the connections](../how-to/secure-the-connections.md#kafka) says how to use it.

In Kafka, `Read` and `Write` include `Describe`, and an idempotent producer needs no right of its own.
"""


def page() -> str:
    """Return the page."""
    parts = (f"## {part}\n\n{table(part, rights_of(part))}" for part in PARTS)
    return "\n".join([INTRODUCTION, *parts])
