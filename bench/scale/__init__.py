"""How far this grows: what Kafka costs at many members, partitions and transactions, and a simulation.

    python -m bench.scale.groups          how long a group takes to share out partitions, by members
    python -m bench.scale.transactions    what a transaction costs, by partitions and by producers at once
    python -m bench.scale.notes           what the notes of what the model has in hand cost, by partitions
    python -m bench.scale.compared        the simulation beside a real worker on a real Kafka
    python -m bench.scale                 the simulation, up to a million messages a second

docs/explanation/scale.md draws the conclusions; docs/benchmarks/scale.md has the figures.
"""
