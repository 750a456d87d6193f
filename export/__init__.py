"""Turns a language model into a bundle that a worker can run, and labelled examples into its heads.

Only `exporter` and the modules that it alone imports (`attention`, `graph`, `load`, `metadata`, `original`,
`seq2seq`, `shapes`) need torch, transformers and optimum. Everything else runs without the `export` extra.
"""

from engine.quiet import keep_quiet

keep_quiet()  # before any module of this package imports a library that reports to its maker
