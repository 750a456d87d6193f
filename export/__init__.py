"""From a language model to a bundle that a worker can run, and from labelled examples to its heads.

Only `exporter` and what it alone imports (`attention`, `graph`, `load`, `original`, `shapes`) need torch,
transformers and optimum: everything else runs without the `export` extra.
"""
