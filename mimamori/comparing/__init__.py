"""Sets bundles against each other, and against people's decisions, on files and on what Kafka still holds.

    screen.py  sources.py  compare.py    two bundles read the same messages
    placed.py  shadows.py                what two topics already say, joined by the messages' places
    decided.py  rescreen.py              one bundle reads again what people decided about

Nothing here writes to Kafka, joins a group or commits an offset, and texts leave memory only where asked for.
"""
