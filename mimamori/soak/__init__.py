"""The soak: numbered messages through real workers under seeded faults, and a checker that trusts nobody.

    plan.py      seed ──► which fault strikes which worker, at which record     (pure)
    script.py    seed ──► every numbered message, and what must become of it    (pure)
    clients.py   the soak's own Kafka clients: feed, watch, trim
    checker.py   label · dead letter · case ──► lost, twice, out of order, …    (pure)
    fleet.py     worker processes by slot: start, kill, stop, replace
    launch.py    how they are started: forked by a zygote, or as `mimamori run` on a bundle
    zygote.py    forks a worker in milliseconds; canned_worker.py is what runs in it
    proxy.py     stands between workers and servers: cuts, delays, refuses
    servers.py   the soak's own Kafka and Redis, each behind the proxy
    faults.py    does what the plan says, and logs its moment
    run.py       wires them, until every number has its outcome
    result.py    what it came to: one JSON, one line

The checker knows `schemas/` and the script, and nothing of the worker's code: a fault of the worker
cannot hide in code that both share.
"""
