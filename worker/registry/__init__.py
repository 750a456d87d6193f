"""Messages and labels framed for a schema registry: a zero byte, the id of their schema, then Avro or JSON.

    framing.py   the five bytes in front
    client.py    asks a registry that speaks Confluent's protocol
    avro.py  avro_schema.py   a writer's Avro schema becomes a way of reading its messages, or is refused
    writers.py   the same for whatever format a schema is of
    known.py     the schemas that are known, and the asking for others beside the polling thread
    awaited.py   the same for commands, which wait
    subjects.py  registers the schemas of messages and labels
    label_writing.py  label_reading.py  avro_labels.py   labels that a worker writes framed, and reading them

An outage of the registry costs time and no message: see docs/decisions/0018-a-schema-registry.md.
"""
