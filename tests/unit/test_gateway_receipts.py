"""Receipt numbers: what a resident types is read as what was meant, and a wrong sign is noticed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from shared.receipts import ALPHABET, LENGTH, read_receipt, receipt_of, shown

RECEIPTS = st.integers(0, 2**55 - 1).map(receipt_of)


@given(RECEIPTS)
def test_a_receipt_number_is_read_however_it_is_written(receipt: str) -> None:
    spoken = receipt.replace("0", "o").replace("1", "l").lower()
    assert read_receipt(shown(receipt)) == read_receipt(spoken) == read_receipt(f" {receipt} ") == receipt
    assert len(receipt) == LENGTH
    assert not set(receipt) & set("ILOU")


@given(RECEIPTS, st.integers(0, LENGTH - 1), st.sampled_from(ALPHABET))
def test_one_wrong_sign_is_always_noticed(receipt: str, place: int, sign: str) -> None:
    wrong = receipt[:place] + sign + receipt[place + 1 :]
    assert (read_receipt(wrong) is None) == (wrong != receipt)


def test_nearly_every_pair_of_neighbours_in_the_wrong_order_is_noticed() -> None:
    missed = tried = 0
    for number in range(0, 2**55, 2**55 // 4000):
        receipt = receipt_of(number)
        for place in range(LENGTH - 1):
            turned = receipt[:place] + receipt[place + 1] + receipt[place] + receipt[place + 2 :]
            if turned != receipt:
                tried += 1
                missed += read_receipt(turned) is not None
    assert tried > 10_000
    assert missed < tried / 100


@given(st.text(max_size=20))
def test_no_text_does_more_than_be_none(text: str) -> None:
    assert read_receipt(text) is None or len(read_receipt(text) or "") == LENGTH


@given(st.integers(0, 2**55 - 1), st.integers(0, 2**55 - 1))
def test_two_numbers_have_two_receipts(one: int, other: int) -> None:
    assert (receipt_of(one) == receipt_of(other)) == (one == other)
