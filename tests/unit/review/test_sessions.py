"""Sessions: they end when they should, survive a restart, and the file alone lets nobody in."""

import stat
from pathlib import Path

import pytest

from review.access.errors import TooManyRequestsError
from review.access.rates import BUCKETS, Rate
from review.access.sessions import FILE, Sessions, SignedIn
from review.errors import DeskError
from review.people import Person

AOI = Person("aoi", "Aoi", frozenset({"reviewer"}))
IDLE, LONGEST = 600.0, 3600.0


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.at = 1_000_000.0

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def clock() -> Clock:
    return Clock()


def sessions(folder: Path | None, clock: Clock) -> Sessions:
    return Sessions(folder, idle_s=IDLE, longest_s=LONGEST, now=clock)


def test_a_session_ends_when_nothing_is_asked_for_long(clock: Clock) -> None:
    kept = sessions(None, clock)
    token = kept.open(SignedIn(AOI))
    for _ in range(3):
        clock.at += IDLE - 1
        assert (found := kept.find(token)) is not None
        assert found.person == AOI
    clock.at += IDLE
    assert kept.find(token) is None
    clock.at -= IDLE
    assert kept.find(token) is None  # gone, and not only hidden


def test_a_page_that_asks_for_itself_keeps_no_session_alive(clock: Clock) -> None:
    kept = sessions(None, clock)
    token = kept.open(SignedIn(AOI))
    for _ in range(3):
        clock.at += IDLE / 4
        assert kept.find(token, used=False) is not None
    clock.at += IDLE / 4
    assert kept.find(token, used=False) is None


def test_a_session_ends_at_its_last_moment_however_busy(clock: Clock) -> None:
    kept = sessions(None, clock)
    token = kept.open(SignedIn(AOI))
    opened = clock.at
    while clock.at + IDLE / 2 < opened + LONGEST:
        clock.at += IDLE / 2
        assert kept.find(token) is not None
    clock.at = opened + LONGEST
    assert kept.find(token) is None


def test_a_session_survives_a_restart_and_a_closed_one_does_not_come_back(
    clock: Clock, tmp_path: Path
) -> None:
    kept = sessions(tmp_path, clock)
    stays, ends = kept.open(SignedIn(AOI, "a.b.c")), kept.open(SignedIn(AOI))
    form = kept.csrf(stays)
    kept.close(ends)
    kept.shut()
    again = sessions(tmp_path, clock)
    found = again.find(stays)
    assert found is not None
    assert (found.person, found.id_token) == (AOI, "a.b.c")
    assert again.csrf_fits(stays, form)
    assert again.find(ends) is None
    again.shut()


def test_the_file_is_the_owners_alone_and_holds_no_token(clock: Clock, tmp_path: Path) -> None:
    kept = sessions(tmp_path, clock)
    token = kept.open(SignedIn(AOI))
    for file in tmp_path.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
    kept.shut()
    assert all(token.encode() not in file.read_bytes() for file in tmp_path.iterdir())


def test_a_file_that_is_no_database_is_one_clear_line(clock: Clock, tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("not a database, though long enough to be looked at " * 40)
    with pytest.raises(DeskError, match="Remove the file: people sign in again"):
        sessions(tmp_path, clock)


def test_a_forms_token_belongs_to_one_session(clock: Clock) -> None:
    kept = sessions(None, clock)
    one, other = kept.open(SignedIn(AOI)), kept.open(SignedIn(AOI))
    assert kept.csrf_fits(one, kept.csrf(one))
    assert not kept.csrf_fits(one, kept.csrf(other))
    assert not kept.csrf_fits(one, "")
    assert not kept.csrf_fits(one, "\ud800")


def test_a_rate_allows_a_burst_then_a_trickle_and_says_how_long_to_wait(clock: Clock) -> None:
    rate = Rate(30, clock)  # one every two seconds
    for _ in range(30):
        rate.take("aoi")
    with pytest.raises(TooManyRequestsError) as refused:
        rate.take("aoi")
    assert refused.value.retry_after_s == 2
    rate.take("ben")
    clock.at += 2
    rate.take("aoi")
    with pytest.raises(TooManyRequestsError):
        rate.take("aoi")


def test_many_addresses_do_not_fill_the_memory(clock: Clock) -> None:
    rate = Rate(1, clock)
    rate.take("aoi")
    for number in range(BUCKETS):
        rate.take(str(number))
    assert len(rate._buckets) == BUCKETS
