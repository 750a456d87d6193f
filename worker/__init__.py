"""The stream worker: messages in, one outcome each out. Start reading at `app.py`."""

from engine.quiet import keep_quiet

keep_quiet()  # before any module of this package imports a library that reports to its maker
