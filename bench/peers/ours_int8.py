"""This repository's engine with int8 feed-forward weights (`precision: int8`), on OpenVINO alone."""

from bench.peers import ours


class Peer(ours.Peer):
    """See `ours`. It is refused, like the worker, where the bundle's answers are no longer the original's."""

    precision = "int8"
