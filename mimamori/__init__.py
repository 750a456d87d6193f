"""The command `mimamori`, and its tools: doctor, sizing, demo, sandbox, soak. Imports all other packages."""

from engine.quiet import keep_quiet

keep_quiet()  # before any module of this package imports a library that reports to its maker
