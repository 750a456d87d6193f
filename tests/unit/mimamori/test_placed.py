"""Verdicts by place: the join is one to one whatever came twice or in whatever order."""

from hypothesis import given
from hypothesis import strategies as st

from export.comparing.tally import VERDICTS
from mimamori.comparing.placed import By, Placed, joined
from schemas.events import Origin, Thresholds
from schemas.vocabulary import Verdict

BY = [By(name, "scores", Thresholds(0.2, 0.8, "c")) for name in ("a", "b")]
ORIGINS = st.builds(Origin, st.sampled_from(["m", "n"]), st.integers(0, 2), st.integers(0, 12))
SAID = st.lists(
    st.tuples(ORIGINS, st.sampled_from(VERDICTS), st.sampled_from(BY), st.booleans()), max_size=80
)
Said = list[tuple[Origin, Verdict, By, bool]]


def placed(said: Said) -> Placed:
    made = Placed()
    for origin, verdict, by, sampled in said:
        made.add(origin, verdict, 0.5, by, sampled=sampled)
    return made


@given(SAID, SAID)
def test_the_join_pairs_the_last_word_of_both_on_each_message_once(first: Said, second: Said) -> None:
    one, two = placed(first), placed(second)
    found = {
        Origin(topic, partition, offset): (VERDICTS[old], VERDICTS[new], one.by[a], two.by[b], sampled)
        for (topic, partition), left, right in joined(one.columns(), two.columns())
        for offset, old, new, a, b, sampled in zip(
            left.offsets.tolist(),
            left.verdicts.tolist(),
            right.verdicts.tolist(),
            left.by.tolist(),
            right.by.tolist(),
            left.sampled.tolist(),
            strict=True,
        )
    }
    last = [
        {origin: (verdict, by, sampled) for origin, verdict, by, sampled in said} for said in (first, second)
    ]
    assert found == {
        origin: (
            last[0][origin][0],
            last[1][origin][0],
            last[0][origin][1],
            last[1][origin][1],
            last[0][origin][2],
        )
        for origin in last[0].keys() & last[1].keys()
    }
    assert sum(len(left.offsets) for _, left, _ in joined(one.columns(), two.columns())) == len(found)


@given(SAID)
def test_what_comes_again_changes_nothing(said: Said) -> None:
    once, twice = placed(said).columns(), placed(said + said).columns()
    assert once.keys() == twice.keys()
    for place, column in once.items():
        assert column.offsets.tolist() == twice[place].offsets.tolist()
        assert column.codes.tolist() == twice[place].codes.tolist()
