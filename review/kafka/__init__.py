"""The Kafka side of the desk: checks at the start, transport, table, and agents that fill it."""
