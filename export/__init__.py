"""From a language model to a bundle that a worker can run, and from labelled examples to its heads.

Only `exporter` and what it alone imports (`attention`, `graph`, `load`, `metadata`, `original`, `seq2seq`,
`shapes`) need torch, transformers and optimum: everything else runs without the `export` extra.
"""

from engine.quiet import keep_quiet

keep_quiet()  # before any module of this package imports a library that reports to its maker
