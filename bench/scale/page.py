"""Makes docs/benchmarks/scale.md of the figures that were measured and simulated."""

import statistics
from collections import defaultdict
from collections.abc import Mapping
from typing import Any, Final

from bench.scale.limits import table

HEAD: Final = """\
# Scale: what was measured, and what is simulated

Made by the scripts of `bench/scale/`, which anybody can run; each section names its own. [What breaks
first](../explanation/scale.md) draws the conclusions, and says what none of this shows. **The machines have
two cores, which other jobs shared**: {machines}.
The load average stands beside each measurement. Where it is above 2, rates are lower and times longer than on
a machine of one's own.

## A group of workers, simulated

`python -m bench.scale`: workers with a GPU (54 ms a batch and 0.147 ms a message, from [gpu.md](gpu.md)), as
many as `mimamori size` says with a headroom of 30 %, two partitions each (four where KEDA scales).
Conversations send three messages in a row, on average. *Calm after* is how long after the trouble more
messages waited than the workers read in five seconds.

| messages/s | workers | what happens | p50, s | p99, s | most wait | calm after, s | left | at most | twice |
|---|---|---|---|---|---|---|---|---|---|
"""

DEMANDS: Final = """
*Left* is how many messages had no label two minutes after the last one was sent; *at most* is how many
workers there were; *twice* is how many messages were read twice, as a worker took their first reading with
it.

![each part's load as a share of its limit](scale.png)

## What a rate demands

How many of each part it takes, by `bench/scale/limits.py`. Above 1, where there cannot be more of it, is too
much.

"""

COMPARED: Final = """
## The simulation beside real workers

`python -m bench.scale.compared`: real workers on a real Kafka, with a device that takes a fixed time and no
CPU. Before each scenario a run of half a minute calibrates, by the spans of its batches: what reading and
committing take, and how single batches differ from that. Nothing is fitted to the runs that are compared.

*Own times* are those of the same simulation with what the stations took in the run that is compared, and not
how long anything waited. As those times come from the compared run, this is a diagnosis and no validation:
it tells what the model gets wrong from what the machine did otherwise than in the calibration. *Late* is
how much later than it asked a process woke that does nothing but sleep: 0.1 to 1 ms on an idle machine.
"""

COMPARED_RUN: Final = """
Load average at the end: {load:.0f}. Calibrated, medians: reading {batch:.1f} ms a batch and {message:.2f} a
message, committing {commit:.1f} and {commit_message:.3f}; {transit:.0f} ms on the way to the worker and back.

| | messages | p50, s: simulated | measured | p99: simulated | measured | off | own times | off | late, p99 |
|---|---|---|---|---|---|---|---|---|---|
"""

GROUPS: Final = """
## A group's changes

`python -m bench.scale.groups`: real Kafka clients with the worker's settings (heartbeats of 2 s then), no
messages, two partitions a member. Medians of the rounds, with the slowest. *Without* is the longest time that
a partition had no reader.
Load average at the end: {load:.0f}.

| protocol | members | rounds | forms, s | one joins, s | without | one leaves, s | without | described, ms |
|---|---|---|---|---|---|---|---|---|
"""

TRANSACTIONS: Final = """
## Transactions

`python -m bench.scale.transactions`: 1,024 records of 700 bytes, and offsets of as many partitions, in each
transaction, one after the other; medians.

| brokers | load | partitions | records are written, ms | offsets, ms | commit, ms | whole, ms | p99 |
|---|---|---|---|---|---|---|---|
"""

AT_ONCE: Final = """
Producers that commit as fast as they can, each with two partitions and 8 records:

| brokers | load | producers | transactions/s, all | p50, ms |
|---|---|---|---|---|
"""

NOTES: Final = """
## Notes of what the model has in hand

`python -m bench.scale.notes`: each worker writes two notes and waits for them, as often as it can. Load
average at the end: {load:.0f}.

| workers at once | notes/s, all | p50, ms | p99, ms |
|---|---|---|---|
"""

NOTES_READ: Final = """
Reading the topic from its start, as a worker does that is given partitions:

| partitions of messages | notes of each since it was compacted | ms |
|---|---|---|
"""

SIZES: Final = """
## Bytes, keys and series

`python -m bench.scale.sizes`, under a load of {load:.0f}. On a broker's disk, compressed as clients do: a
message {message:.0f} bytes, a label {label:.0f}, and of notes {notes:.1f} for each message. These are our own
short texts in full batches, with one bundle's labels, all clear, and compress well; a label alone has some
700 bytes. Redis, one client: {cache}. A worker's metrics: {series} series, none by partition.
"""


def markdown(known: Mapping[str, Any]) -> str:
    """The page."""
    transactions = [known[name] for name in ("transactions", "transactions3") if name in known]
    return "".join(
        (
            HEAD.format(machines=_machines(known)) + _simulated(known["simulated"]),
            DEMANDS + table(known) + "\n",
            COMPARED,
            *(_compared(known[name]) for name in ("compared", "compared_busy") if name in known),
            _groups(known["groups"]),
            _transactions(transactions),
            _notes(known["notes"]),
            _sizes(known["sizes"]),
        )
    )


def _machines(known: Mapping[str, Any]) -> str:
    """Which script ran on which processor."""
    ran: dict[str, list[str]] = defaultdict(list)
    for name in ("compared", "groups", "transactions", "transactions3", "notes", "sizes"):
        if name in known:
            ran[known[name]["machine"]["cpu"].replace("(R)", "")].append(name.removesuffix("3"))
    return "; ".join(
        f"{', '.join(f'`{name}`' for name in dict.fromkeys(names))} on {cpu}"
        for cpu, names in sorted(ran.items())
    )


def _row(*cells: object) -> str:
    return f"| {' | '.join(map(str, cells))} |\n"


def _simulated(rows: list[dict[str, Any]]) -> str:
    return "".join(
        _row(
            f"{row['rate']:,.0f}",
            row["workers"],
            row["case"],
            f"{row['p50']:.2f}",
            f"{row['p99']:.2f}",
            f"{row['worst_lag']:,}",
            "never" if row["calm_s"] is None else f"{row['calm_s']:.0f}",
            f"{row['unlabelled']:,}",
            row["most_workers"],
            f"{row['read_twice']:,}",
        )
        for row in rows
    )


def _compared(found: Mapping[str, Any]) -> str:
    workers = [row["worker"] for row in found["rows"]]
    times = {
        name: 1000 * statistics.median(worker[f"{name}_s"] for worker in workers)
        for name in ("batch", "message", "commit", "commit_message", "transit")
    }
    return COMPARED_RUN.format(load=found["load"][0], **times) + "".join(
        _row(
            row["scenario"],
            f"{row['messages']:,}",
            *(f"{row[who]['p50']:.3f}" for who in ("simulated", "measured")),
            *(f"{row[who]['p99']:.3f}" for who in ("simulated", "measured")),
            f"{row['simulated']['p99'] / row['measured']['p99'] - 1:+.0%}",
            f"{row['own_times']['p99']:.3f}",
            f"{row['own_times']['p99'] / row['measured']['p99'] - 1:+.0%}",
            f"{row['disturbed']['p99_ms']:.0f} ms",
        )
        for row in found["rows"]
    )


def _groups(found: Mapping[str, Any]) -> str:
    by: dict[tuple[str, int], list[dict[str, Any]]] = defaultdict(list)
    for each in found["groups"]:
        by[each["protocol"], each["members"]].append(each)

    def spread(rows: list[dict[str, Any]], change: str, what: str) -> str:
        values = [row[change][what] for row in rows]
        return f"{statistics.median(values):.1f} ({max(values):.1f})"

    return GROUPS.format(load=found["load"][0]) + "".join(
        _row(
            protocol,
            members,
            len(rows),
            spread(rows, "formed", "seconds"),
            *(spread(rows, change, what) for change in ("joined", "left") for what in ("seconds", "gap")),
            f"{1000 * statistics.median(row['describe_s'] for row in rows):.0f}",
        )
        for (protocol, members), rows in sorted(by.items())
    )


def _transactions(found: list[Mapping[str, Any]]) -> str:
    alone = [
        _row(
            run["brokers"],
            f"{run['load'][0]:.0f}",
            each["partitions"],
            *(f"{each[name]:.1f}" for name in ("flush", "offsets", "commit", "whole", "p99")),
        )
        for run in found
        for each in run["alone"]
    ]
    together = [
        _row(
            run["brokers"],
            f"{run['load'][0]:.0f}",
            each["producers"],
            f"{each['a_second']:.0f}",
            f"{each['p50_ms']:.1f}",
        )
        for run in found
        for each in run["at_once"]
    ]
    return TRANSACTIONS + "".join(alone) + AT_ONCE + "".join(together)


def _notes(found: Mapping[str, Any]) -> str:
    writes = [
        _row(
            each["workers"],
            f"{each['notes_a_second']:,.0f}",
            f"{each['p50_ms']:.1f}",
            f"{each['p99_ms']:.1f}",
        )
        for each in found["writes"]
    ]
    reads = [
        _row(f"{each['partitions']:,}", each["of_each"], f"{each['ms']:,.0f}") for each in found["reads"]
    ]
    return NOTES.format(load=found["load"][0]) + "".join(writes) + NOTES_READ + "".join(reads)


def _sizes(found: Mapping[str, Any]) -> str:
    sizes = found["bytes_a_record"]
    return SIZES.format(
        load=found["load"][0],
        message=sizes["messages"],
        label=sizes["labels"],
        notes=sizes["in-hand"],
        series=found["series_a_worker"],
        cache="; ".join(
            f"{each['keys_at_once']} keys at once: {each['keys_a_second']:,.0f} keys/s"
            for each in found["cache"]
        ),
    )
