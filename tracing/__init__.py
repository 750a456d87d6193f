"""Spans: what a worker or a desk tells an OpenTelemetry collector of its work. Off unless settings name one.

    settings.py     where spans go: the settings that worker and desk share
    destination.py  the same, checked and taken apart
    opening.py      a tracer, where one is named
    spans.py        what a span is here, and who makes it; without OpenTelemetry
    sending.py      OpenTelemetry: what is sampled, and sent to the collector
    waiting.py      the bounded queue before it, and counts of what was lost
    limit.py        how many messages of a second may have a span

That a trace *goes on* (`traceparent` from a message to its label, its case and the decision) needs none of
this and is always so: `schemas/headers.py`. No attribute of a span holds a text, an id of a person or what
was found in a message. A collector that is slow or gone costs spans, which are counted, and nothing else.
"""
