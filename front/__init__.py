"""The HTTP front: screens texts for programs that are not on Kafka, with the worker's own engine and policy.

    server.py       a request: who sends it, how large it is, in which dialect it is answered
    openai.py       POST /v1/moderations, as OpenAI's clients send it
    perspective.py  POST /v1alpha1/comments:analyze, as Perspective's clients send it
    discovery.py    what these clients read first
    call.py         the texts of one request on their way
    line.py         the waiting line: what is admitted, and who is read next, in which batch
    reading.py      the thread that owns the engine: batches are scored by the worker's own screener
    finding.py      what the worker's label would say of a text
    startup.py      checks everything before the first request

The front is stateless. It writes no labels and no review cases: what it finds is in its answer and nowhere
else, so that whoever asks must bring what is to be escalated to a person.
"""
