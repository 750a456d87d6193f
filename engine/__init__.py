"""What a bundle and a task are, and how a text becomes scores. This package knows nothing of Kafka.

    load.py      load_engine(bundle, …) -> Engine: opens a bundle on a device and proves it
    disguise/    Engine    texts  -> Scores              reads disguised texts twice
    language.py                                          and says which language a text is in
    reading/     Engine    texts  -> Scores              applies heads or asks the model, per window
                 Cutter    texts  -> rows of tokens      a text whole, or sentence by sentence
                 Reader    tokens -> rows of numbers     packs and pads rows, restores their order
    devices/     Device    padded ids -> one output      ONNX Runtime or OpenVINO; nothing else imports them
    bundle/      the folder that holds a model, its task, its heads and its thresholds
    identity.py  what a score is a score of: thresholds, cache and labels go by it
    policy.py    scores -> a verdict, its reasons, a priority

The batch law: an engine answers a batch with as many scores as it was given texts, in the same order, and a
message's scores do not depend on its neighbours (beyond rounding; bf16 rounds coarsely). Engines are not
thread-safe: one thread owns one engine.
"""

from engine.quiet import keep_quiet

keep_quiet()  # before any module of this package imports a library that reports to its maker
