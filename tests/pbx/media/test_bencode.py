"""Bencoding as it comes in a stream, whole, in pieces, and from somebody who means harm."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pbx.media.bencode import MAX_MESSAGE, BencodeError, Value, decode, encode

VALUES: st.SearchStrategy[Value] = st.recursive(
    st.integers(-(10**9), 10**9) | st.text(max_size=40),
    lambda inner: (
        st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=9), inner, max_size=5)
    ),
    max_leaves=20,
)


@given(VALUES, st.binary(max_size=20))
def test_what_is_written_can_be_read_whatever_follows(value: Value, rest: bytes) -> None:
    written = encode(value)
    found, end = decode(written + rest)
    assert found == value
    assert end == len(written)


@given(VALUES)
def test_what_is_not_all_there_is_waited_for(value: Value) -> None:
    written = encode(value)
    for end in range(len(written)):
        with pytest.raises(IndexError):
            decode(written[:end])


@given(st.binary(max_size=200))
def test_anything_else_is_told_apart(data: bytes) -> None:
    with contextlib.suppress(BencodeError, IndexError):
        decode(data)


@pytest.mark.parametrize(
    "data",
    [
        b"l" * 1000,
        b"d1:a" * 1000,
        b"9999999:",
        f"{MAX_MESSAGE + 1}:".encode(),
        b"-5:hello",
        b"i12345678901234567890e",
        b"ie",
        b"i--1e",
        b"1x:a",
        b"di1e1:ae",
        "i٣e".encode(),
    ],
)
def test_harm_is_refused(data: bytes) -> None:
    with pytest.raises(BencodeError):
        decode(data + b"e" * 20)
