"""Messages that are framed for a schema registry: a zero byte, the id of their schema, then Avro or JSON.

    framing.py   the five bytes in front
    client.py    asks a registry that speaks Confluent's protocol
    avro.py  avro_schema.py   a writer's Avro schema becomes a way of reading its messages, or is refused
    writers.py   the same for whatever format a schema is of
    known.py     the schemas that are known, and the asking for others beside the polling thread
    subjects.py  registers the schema of messages

An outage of the registry costs time and no message: see docs/decisions/0018-a-schema-registry.md.
"""
