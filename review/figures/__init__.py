"""Figures of the desk: how much waits, how fast it is decided, how far people agree, what is missed. Pure."""
