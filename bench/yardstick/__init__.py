"""What `bench/engine.py` measures with: the workload, the machine's bound, the rounds, the report."""
