"""Receipt numbers 回执编号: twelve signs that a resident can read out, write down and type in.

Crockford's base 32 (no I, L, O, U), the last sign checks the others (ISO 7064, hybrid system).
Invariant: one sign typed wrong is always noticed; what looks alike is read as what was meant. A receipt
number names a concern and opens nothing.
"""

from __future__ import annotations

import unicodedata

from stdnum.iso7064 import mod_37_36

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
LENGTH = 12
_READ_AS = str.maketrans({"I": "1", "L": "1", "O": "0", "-": "", " ": ""})


def spelled(number: int, signs: int) -> str:
    """The lowest 5 bits per sign of a number, in so many signs."""
    return "".join(ALPHABET[number >> 5 * place & 31] for place in range(signs))


def receipt_of(number: int) -> str:
    """The receipt number of a number, of which 55 bits are used."""
    body = spelled(number, LENGTH - 1)
    return body + str(mod_37_36.calc_check_digit(body, alphabet=ALPHABET))


def shown(receipt: str) -> str:
    """A receipt number in groups of four, for people."""
    return "-".join(receipt[start : start + 4] for start in range(0, len(receipt), 4))


def read_signs(typed: str) -> str:
    """What somebody typed as signs of the alphabet: small letters, blanks and look-alikes are forgiven."""
    return unicodedata.normalize("NFKC", typed).upper().translate(_READ_AS)


def read_receipt(typed: str) -> str | None:
    """A receipt number as somebody typed it; None when it is none, or a sign is wrong."""
    read = read_signs(typed)
    right = len(read) == LENGTH and set(read) <= set(ALPHABET)
    return read if right and mod_37_36.is_valid(read, alphabet=ALPHABET) else None
