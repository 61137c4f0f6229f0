"""Which refresh token renews a session, which ends it, and that no order of renewals outlives the limits."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.identity.sessions import (
    Limits,
    Renewed,
    Session,
    Terms,
    Token,
    begin,
    read_token,
    renew,
)

BEGUN = datetime(2026, 1, 1, tzinfo=UTC)
PHONE = Limits(timedelta(days=14), timedelta(days=90))
DESK = Limits(timedelta(hours=12), timedelta(days=7))
GRACE = timedelta(seconds=30)
FIRST = Token(UUID(int=7), bytes(range(32)))


def begun() -> Session:
    return begin(FIRST, person="p", use="browser", credentials="1", at=BEGUN)


def shown(
    found: Session,
    token: Token,
    at: datetime,
    *,
    key: int = 1,
    limits: Limits = PHONE,
    use: str = "browser",
    credentials: str | None = "1",
) -> Renewed | str:
    return renew(
        found,
        token,
        use=use,
        credentials=credentials,
        limits=limits,
        grace=GRACE,
        at=at,
        key=key.to_bytes(32, "big"),
    )


def went_on(found: Renewed | str) -> Renewed:
    assert isinstance(found, Renewed), found
    return found


@given(st.binary(min_size=32, max_size=32), st.uuids())
def test_a_token_travels_unchanged_and_is_not_shown_in_print(secret: bytes, session: UUID) -> None:
    token = Token(session, secret)
    assert read_token(token.text) == token
    assert token.text not in repr(token)
    assert secret.hex() not in repr(begin(token, person="p", use="u", credentials="1", at=BEGUN))


@given(st.text(max_size=80))
def test_what_is_no_token_is_none_whatever_it_is(text: str) -> None:
    found = read_token(text)
    assert found is None or found.text == text


@given(st.lists(st.integers(31, 14 * 24 * 3600 - 1), min_size=1, max_size=12), st.data())
def test_of_all_tokens_ever_given_the_newest_alone_goes_on_after_the_grace(
    gaps: list[int], data: st.DataObject
) -> None:
    session, tokens, at = begun(), [FIRST], BEGUN
    for number, seconds in enumerate(gaps):
        at = min(at + timedelta(seconds=seconds), BEGUN + PHONE.whole - timedelta(hours=1))
        step = went_on(shown(session, tokens[-1], at, key=number))
        session = step.session
        tokens.append(step.token)
    assert len({token.digest for token in tokens}) == len(tokens)
    later = session.renewed_at + GRACE
    old = data.draw(st.sampled_from(tokens[:-1]))
    assert shown(session, old, later) == "reused"
    assert isinstance(shown(session, tokens[-1], later), Renewed)


@given(st.lists(st.integers(0, 29_999), min_size=1, max_size=8))
def test_within_the_grace_the_one_before_gets_the_same_successor_and_changes_nothing(
    milliseconds: list[int],
) -> None:
    first = went_on(shown(begun(), FIRST, BEGUN + timedelta(minutes=15)))
    for number, late in enumerate(milliseconds):
        again = went_on(
            shown(first.session, FIRST, first.session.renewed_at + timedelta(milliseconds=late), key=number)
        )
        assert again.token == first.token
        assert again.session is first.session


def test_the_one_before_the_last_is_not_heard_even_within_the_grace() -> None:
    first = went_on(shown(begun(), FIRST, BEGUN + timedelta(seconds=1)))
    second = went_on(shown(first.session, first.token, BEGUN + timedelta(seconds=2), key=2))
    assert shown(second.session, FIRST, BEGUN + timedelta(seconds=3)) == "reused"


@given(st.lists(st.integers(1, 20 * 24 * 3600), min_size=1, max_size=40), st.sampled_from([PHONE, DESK]))
def test_a_session_goes_on_as_long_as_no_limit_is_reached_and_no_longer(
    gaps: list[int], limits: Limits
) -> None:
    session, token, at = begun(), FIRST, BEGUN
    for seconds in gaps:
        at += timedelta(seconds=seconds)
        idle = at - session.renewed_at >= limits.idle
        over = at - BEGUN >= limits.whole
        found = shown(session, token, at, limits=limits)
        if idle or over:
            assert found == ("idle" if idle else "over")
            return
        step = went_on(found)
        session, token = step.session, step.token
        assert at < session.ends_at(limits) <= BEGUN + limits.whole


@pytest.mark.parametrize("credentials", ["2", None])
def test_other_credentials_or_a_person_who_may_not_act_end_it(credentials: str | None) -> None:
    assert shown(begun(), FIRST, BEGUN, credentials=credentials) == "credentials-changed"


def test_a_token_is_good_for_the_use_it_was_given_for_alone() -> None:
    assert shown(begun(), FIRST, BEGUN, use="") == "another-use"


def test_what_is_kept_is_not_the_token() -> None:
    step = went_on(shown(begun(), FIRST, BEGUN))
    kept = {step.session.newest, step.session.before, step.session.successor_key}
    assert kept.isdisjoint({FIRST.secret, step.token.secret})
    # without the token before it, the kept key makes another token
    assert replace(FIRST, secret=bytes(32)).next(step.session.successor_key or b"") != step.token


def test_a_deputy_who_is_anything_besides_has_the_limits_of_a_desk() -> None:
    terms = Terms(PHONE, DESK, GRACE)
    assert terms.of(frozenset({"deputy"})) == PHONE
    for roles in ({"deputy", "staff"}, {"staff"}, {"department"}, {"operator", "staff"}, set[str]()):
        assert terms.of(frozenset(roles)) == DESK
    assert terms.longest_idle == PHONE.idle
