"""The soak: sends numbered messages through real workers under seeded faults, and checks every outcome.

    plan.py      seed ──► which fault strikes which worker, at which record     (pure)
    script.py    seed ──► every numbered message, and its expected outcome      (pure)
    clients.py   the soak's own Kafka clients: feed, watch, trim (delete what was read)
    checker.py   label · dead letter · case ──► lost, twice, out of order, …    (pure)
    fleet.py     worker processes by slot: start, kill, stop, replace
    slots.py     the settings of each, and its host
    launch.py    how they are started: forked by a zygote, or as `mimamori run` on a bundle
    zygote.py    forks a worker in milliseconds; canned_worker.py is what runs in it
    proxy.py     stands between workers and servers: cuts, delays and refuses connections
    servers.py   the soak's own Kafka and Redis, each behind the proxy
    brokers.py   kills, moves, freezes, cuts off and fills the disk of one broker
    enclosure.py starts the soak again in a network, among processes and with mounts of its own
    links.py     hosts there, and packets between them that are dropped in silence; packets.py: a worker's
    disks.py     a disk of its own for each broker there, which can be full
    supply.py    how far the feed goes ahead, so that faults strike a busy stream
    stillness.py how long a partition stood still for a fault; probes.py: whether its worker said so
    faults.py    does what the plan says, and records when
    run.py       wires them, and runs until every message has its outcome
    result.py    the result, as JSON and as one line

The checker uses `schemas/` and the script, but none of the worker's code, so that a fault of the worker
cannot hide in code that both share.
"""
