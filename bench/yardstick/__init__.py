"""The tools that the benchmarks measure with: workloads, the machine's bound, rounds, reports."""
