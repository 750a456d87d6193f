"""The messages of bench/stream.py are what they are said to be: else its figures would mean nothing."""

from collections import Counter

import pytest

from bench.yardstick import corpus
from worker.decode import decode
from worker.errors import RecordError


def test_each_malformed_record_is_refused_for_the_reason_the_benchmark_expects() -> None:
    reasons: Counter[str] = Counter()
    for _, value in corpus.malformed(1000):
        with pytest.raises(RecordError) as refusal:
            decode(value, "stress", 100_000)
        reasons[refusal.value.reason] += 1
    assert reasons == corpus.expected_reasons(1000)


def test_repeated_messages_repeat_and_distinct_ones_never_do() -> None:
    def texts(pairs: corpus.Pairs) -> list[str]:
        return [decode(value, "stress", 100_000).text for _, value in pairs]

    assert len(set(texts(corpus.repeated(5000)))) <= corpus.REPEATED
    assert len(set(texts(corpus.distinct(5000)))) == 5000
    assert texts(corpus.distinct(50)) == texts(corpus.distinct(50))  # every run has the same
