"""The stream worker: messages in, one outcome each out. Start reading at `app.py`."""
