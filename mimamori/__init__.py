"""The command `mimamori` and its tools: doctor, sizing, demo, sandbox, soak. Imports all packages."""

from engine.quiet import keep_quiet

keep_quiet()  # called before any module of this package imports a library that sends telemetry
