"""The keys of the desk's table. What a key begins with says what kind of entry it has."""


def case_key(case_id: str) -> bytes:
    """Return the key of a case or its marker."""
    return b"case:" + case_id.encode()


def case_id_of(key: bytes) -> str | None:
    """Return the id of the case that has this key; None where it is the key of something else."""
    return key[5:].decode() if key.startswith(b"case:") else None


def held_key(case_id: str) -> bytes:
    """Return the key of the events that are held on a case."""
    return b"held:" + case_id.encode()


def erasure_key(partition: int, what: str, digest: str) -> bytes:
    """Return the key of an erasure. Each partition has its own."""
    return f"erasure:{partition}:{what}:{digest}".encode()


def sweep_key(partition: int) -> bytes:
    """Return the key of a partition's sweep: in the table, and of the records that sweep it."""
    return f"sweep:{partition}".encode()


def subject_key(digest: str) -> bytes:
    """Return the key of an author's or a conversation's window."""
    return b"subject:" + digest.encode()


def unreadable_key(topic: str, partition: int, offset: int) -> bytes:
    """Return the key of an unreadable record: its place in Kafka, so that a redelivery counts only once."""
    return f"unreadable:{topic}:{partition}:{offset}".encode()
