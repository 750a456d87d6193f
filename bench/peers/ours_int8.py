"""This repository's engine with int8 feed-forward weights (`precision: int8`), which needs OpenVINO."""

from bench.peers import ours


class Peer(ours.Peer):
    """See `ours`. As in the worker, it is refused where its answers differ from the original model's."""

    precision = "int8"
