"""URIs: telephone numbers, other schemes, and whom they mean."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pbx.sip.message import ParseError, Request, checked, parse_address
from pbx.sip.uri import (
    UnsupportedScheme,
    dialled_user,
    parse_any_uri,
    parse_uri,
    without_headers,
)


@pytest.mark.parametrize(
    ("uri", "user", "parameters"),
    [
        ("tel:+1-201-555-0123", "+12015550123", {}),
        ("TEL:+1.201.555.0123", "+12015550123", {}),
        ("tel:+1(201)5550123;ext=55", "+12015550123", {"ext": "55"}),
        ("tel:+12015550123;isub=12345", "+12015550123", {"isub": "12345"}),
        ("tel:7042;phone-context=example.com", "7042", {"phone-context": "example.com"}),
        ("tel:863-1234;phone-context=+1-914-555", "8631234", {"phone-context": "+1-914-555"}),
        ("tel:102", "102", {}),
        ("tel:*21%23", "*21#", {}),
        ("tel:*21#", "*21#", {}),
    ],
)
def test_a_tel_uri_is_a_number(uri: str, user: str, parameters: dict[str, str]) -> None:
    """RFC 3966 §3 and §5; 102 and # are no strict local numbers, but phones send them."""
    found = parse_uri(uri)
    assert (found.scheme, found.host, found.user) == ("tel", "", user)
    assert dict(found.parameters) == parameters
    assert dialled_user(found) == user


@pytest.mark.parametrize(
    "uri",
    [
        "tel:", "tel:+", "tel:--", "tel:+-", "tel:+12015550123;", "tel:12 34", "tel:alice",
        "tel:+1201;a b", "tel:+1201>", "tel:++1", "tel:1+2", "tel:%41", "tel:+" + "1" * 3000,
    ],
)  # fmt: skip
def test_tel_invalid(uri: str) -> None:
    with pytest.raises(ParseError):
        checked(parse_uri, uri, "uri")


@pytest.mark.parametrize(
    ("uri", "user"),
    [
        ("sip:102@example.com", "102"),
        ("sip:first.last@example.com", "first.last"),
        ("sip:a-b(c)@example.com", "a-b(c)"),
        ("sip:+1-201-555-0123@gw.example.com", "+12015550123"),
        ("sip:+1.201.555.0123;isub=1@gw.example.com;user=phone", "+12015550123"),
        ("sip:201-555-0123@gw.example.com;user=phone", "2015550123"),
        ("sip:7042;phone-context=example.com@gw.example.com", "7042"),
        ("sip:alice@example.com;user=phone", "alice"),
        ("sip:user;par=u%40example.net@example.com", "user;par=u@example.net"),
        ("sip:example.com", ""),
        ("sips:*98@example.com", "*98"),
        ("sip:%2B12015550123@gw.example.com", "+12015550123"),
    ],
)
def test_the_dialled_user(uri: str, user: str) -> None:
    assert dialled_user(parse_uri(uri)) == user


def test_tel_everywhere_an_address_may_be() -> None:
    request = Request("INVITE", "tel:+1-201-555-0123;phone-context=x.example.com")
    assert dialled_user(request.target) == "+12015550123"
    for value in ('"Bob" <tel:+1-201-555-0123>;tag=7', "tel:+1-201-555-0123;tag=7"):
        found = parse_address(value)
        assert dialled_user(found.uri) == "+12015550123"
        assert found.parameters["tag"] == "7"


@pytest.mark.parametrize(
    "uri", ["http://example.com/", "isbn:2983792873", "urn:service:sos", "x:y"]
)
def test_other_schemes(uri: str) -> None:
    with pytest.raises(UnsupportedScheme):
        parse_uri(uri)
    found = parse_any_uri(uri)
    assert (found.scheme, found.user, found.host) == (uri.partition(":")[0], None, "")
    assert dialled_user(found) == ""
    with pytest.raises(ParseError) as refused:
        _ = Request("INVITE", uri).target
    assert refused.value.status == 416


@pytest.mark.parametrize(
    "uri", ["", "sip", "sip:", ":x", "1a:b", "sip:@", "http:", "a b:c", "x:<y>"]
)
def test_uri_invalid(uri: str) -> None:
    for parse in (parse_uri, parse_any_uri):
        with pytest.raises(ParseError) as refused:
            checked(parse, uri, "uri")
        assert refused.value.status == 400


def test_headers_are_taken_off() -> None:
    assert without_headers("sip:a@b?Route=%3Csip:c%3E") == "sip:a@b"
    assert without_headers("sip:what?@b") == "sip:what?@b"
    assert without_headers("sip:b?subject=x") == "sip:b"


@given(st.text(st.sampled_from("0123456789-.()+;=%@:#*abcsiptel&?/<> "), max_size=60))
def test_any_uri_is_read_or_refused(text: str) -> None:
    for value in (text, f"tel:{text}", f"sip:{text}@h", f"sip:{text}"):
        for parse in (parse_uri, parse_any_uri):
            try:
                found = checked(parse, value, "uri")
            except ParseError:
                continue
            user = dialled_user(found)
            assert found.scheme != "tel" or set(user) <= set("+0123456789ABCDEFabcdef*#")
