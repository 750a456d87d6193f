"""How few labels are enough: every way of screening, fitted on k labelled examples, several times over.

placeholder
"""

import msgspec


class Shots(msgspec.Struct, frozen=True):
    """x."""
