import base64

from mimamori.sandbox.node import cluster_id


def test_a_cluster_id_is_never_taken_for_an_option() -> None:
    """One UUID in 64 begins with a dash in base64, and Kafka's storage tool then did not start."""
    drawn = {cluster_id() for _ in range(3000)}
    assert len(drawn) == 3000
    assert not [one for one in drawn if one.startswith("-")]
    assert {len(base64.urlsafe_b64decode(f"{one}==")) for one in drawn} == {16}
