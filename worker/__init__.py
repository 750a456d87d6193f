"""The stream worker: reads messages, and writes one outcome for each. Start reading at `app.py`."""

from engine.quiet import keep_quiet

keep_quiet()  # before this package imports any library that sends telemetry to its maker
