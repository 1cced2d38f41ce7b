"""Digest authentication against the vectors of the RFCs, and both sides against each other."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pbx.sip.digest import (
    ALGORITHMS,
    MAX_HEADER,
    MAX_PARAMETERS,
    NONCE_LIFETIME,
    PATIENCE,
    Credentials,
    DigestClient,
    DigestServer,
    Verdict,
    parse_parameters,
    response_value,
)
from pbx.sip.message import Request, Response, parse_message
from tests.pbx.messages import request

REALM, HOST = "example.com", "192.0.2.9"
GOOD = Credentials(username="101", secret="zebra")


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def server(clock: Clock) -> DigestServer:
    return DigestServer(REALM, clock)


def answered(
    server: DigestServer,
    client: DigestClient,
    method: str = "REGISTER",
    *,
    proxy: bool = False,
) -> Request:
    """A request that carries the client's answer to a fresh challenge."""
    made = request(method)
    assert client.authorise(made, server.challenge(made, HOST, proxy=proxy))
    return made


def ha1(algorithm: str, username: str, realm: str, secret: str) -> str:
    return ALGORITHMS[algorithm](f"{username}:{realm}:{secret}".encode()).hexdigest()


def by_hand(
    server: DigestServer, *, secret: str = "zebra", algorithm: str = "MD5", **changes: str
) -> Request:
    """A REGISTER whose answer is computed here, any parameter changed before the digest."""
    made = request("REGISTER")
    nonce = parse_parameters(server.challenge(made, HOST).get("www-authenticate"))
    assert nonce is not None
    used = {
        "username": "101",
        "realm": REALM,
        "nonce": nonce["nonce"],
        "uri": made.uri,
        "nc": "00000001",
        "cnonce": "0a4f113b",
        "qop": "auth",
        **changes,
    }
    value = response_value(
        algorithm,
        ha1(algorithm, used["username"], REALM, secret),
        "REGISTER",
        used["uri"],
        used["nonce"],
        used["cnonce"],
        used["nc"],
        used["qop"],
    )
    used["response"] = value
    text = ", ".join(f'{name}="{text}"' for name, text in used.items())
    made.set("authorization", f"Digest {text}, algorithm={algorithm}")
    return made


# ── vectors ─────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize(
    ("algorithm", "expected"),
    [
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ],
)
def test_rfc_7616_3_9_1(algorithm: str, expected: str) -> None:
    assert (
        response_value(
            algorithm,
            ha1(algorithm, "Mufasa", "http-auth@example.org", "Circle of Life"),
            "GET",
            "/dir/index.html",
            "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
            "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
            "00000001",
            "auth",
        )
        == expected
    )


def test_rfc_2617_3_5() -> None:
    assert (
        response_value(
            "MD5",
            ha1("MD5", "Mufasa", "testrealm@host.com", "Circle Of Life"),
            "GET",
            "/dir/index.html",
            "dcd98b7102dd2f0e8b11d0f600bfb0c093",
            "0a4f113b",
            "00000001",
            "auth",
        )
        == "6629fae49393a05397450978507c4ef1"
    )


def test_rfc_2069_without_qop() -> None:
    """The example of RFC 2069 §2.4 with the value of its erratum 749."""
    assert (
        response_value(
            "MD5",
            ha1("MD5", "Mufasa", "testrealm@host.com", "CircleOfLife"),
            "GET",
            "/dir/index.html",
            "dcd98b7102dd2f0e8b11d0f600bfb0c093",
        )
        == "1949323746fe6a43ef61f9606e7febea"
    )


# ── challenges ──────────────────────────────────────────────────────────────────────────────
def test_the_challenge_offers_sha_256_before_md5(server: DigestServer) -> None:
    challenge = server.challenge(request("REGISTER"), HOST)
    assert challenge.status == 401
    offered = [parse_parameters(value) for value in challenge.get_all("www-authenticate")]
    assert [found and found["algorithm"] for found in offered] == ["SHA-256", "MD5"]
    for found in offered:
        assert found is not None
        assert (found["realm"], found["qop"]) == (REALM, "auth")
        assert "stale" not in found


def test_a_proxy_challenges_with_407(server: DigestServer) -> None:
    challenge = server.challenge(request("INVITE"), HOST, proxy=True)
    assert challenge.status == 407
    assert len(challenge.get_all("proxy-authenticate")) == 2
    assert "www-authenticate" not in challenge


def test_no_two_nonces_are_alike(server: DigestServer) -> None:
    nonces = {
        server.challenge(request("REGISTER"), HOST).get("www-authenticate") for _ in range(100)
    }
    assert len(nonces) == 100


def test_a_phone_that_starts_anew_without_an_answer_gets_md5_alone(
    server: DigestServer, clock: Clock
) -> None:
    assert len(server.challenge(request("REGISTER"), HOST).get_all("www-authenticate")) == 2
    clock.now += PATIENCE / 2
    assert len(server.challenge(request("REGISTER"), HOST).get_all("www-authenticate")) == 2
    clock.now += PATIENCE
    (only,) = server.challenge(request("REGISTER"), HOST).get_all("www-authenticate")
    assert "algorithm=MD5" in only


def test_a_phone_that_answered_keeps_its_choice(server: DigestServer, clock: Clock) -> None:
    made = answered(server, DigestClient(GOOD))
    assert server.check(made, "zebra", HOST) is Verdict.GOOD
    clock.now += 10 * PATIENCE
    assert len(server.challenge(request("REGISTER"), HOST).get_all("www-authenticate")) == 2


def test_programs_known_to_stumble_get_md5_alone(server: DigestServer) -> None:
    old = request("REGISTER", user_agent="baresip v1.0.0 (x86_64/Linux)")
    assert len(server.challenge(old, HOST).get_all("www-authenticate")) == 1
    sipp = request("REGISTER", branch="z9hG4bK-31337-1-0")
    assert len(server.challenge(sipp, HOST).get_all("www-authenticate")) == 1


def test_a_flood_of_challenges_costs_no_memory(server: DigestServer) -> None:
    for number in range(12_000):
        server.challenge(request("REGISTER", via=f"host{number}.example.com"), HOST)
    assert len(server._unanswered) <= 5_000
    assert len(server._counts) == 0


# ── round trips ─────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize("proxy", [False, True])
@pytest.mark.parametrize("method", ["REGISTER", "INVITE", "BYE"])
def test_what_our_client_answers_our_server_accepts(
    server: DigestServer, method: str, proxy: bool
) -> None:
    made = answered(server, DigestClient(GOOD), method, proxy=proxy)
    assert server.username(made, proxy=proxy) == "101"
    assert server.check(made, "zebra", HOST, proxy=proxy) is Verdict.GOOD


def test_the_client_takes_the_strongest_algorithm(server: DigestServer) -> None:
    made = answered(server, DigestClient(GOOD))
    assert "algorithm=SHA-256" in made.get("authorization")


def test_a_wrong_secret_is_bad(server: DigestServer) -> None:
    made = answered(server, DigestClient(GOOD))
    assert server.check(made, "other", HOST) is Verdict.BAD


def test_no_answer_is_missing(server: DigestServer) -> None:
    assert server.check(request("REGISTER"), "zebra", HOST) is Verdict.MISSING
    assert server.username(request("REGISTER")) is None


def test_an_answer_in_the_wrong_header_is_missing(server: DigestServer) -> None:
    made = answered(server, DigestClient(GOOD))
    assert server.check(made, "zebra", HOST, proxy=True) is Verdict.MISSING


def test_an_answer_for_another_realm_is_missing(clock: Clock) -> None:
    made = answered(DigestServer("elsewhere.example", clock), DigestClient(GOOD))
    assert DigestServer(REALM, clock).check(made, "zebra", HOST) is Verdict.MISSING


def test_of_several_answers_the_one_for_our_realm_counts(
    server: DigestServer, clock: Clock
) -> None:
    other = answered(DigestServer("elsewhere.example", clock), DigestClient(GOOD))
    made = answered(server, DigestClient(GOOD))
    made.set("authorization", [other.get("authorization"), made.get("authorization")])
    assert server.check(made, "zebra", HOST) is Verdict.GOOD


def test_an_answer_to_another_method_is_bad(server: DigestServer) -> None:
    made = answered(server, DigestClient(GOOD), "REGISTER")
    stolen = request("INVITE")
    stolen.copy_header("authorization", made)
    assert server.check(stolen, "zebra", HOST) is Verdict.BAD


def test_the_wire_in_between_changes_nothing(server: DigestServer) -> None:
    made = answered(server, DigestClient(Credentials(username='J "X" \\ ö', secret="pä:ss")))
    received = parse_message(made.encode())
    assert isinstance(received, Request)
    assert server.username(received) == 'J "X" \\ ö'
    assert server.check(received, "pä:ss", HOST) is Verdict.GOOD


@given(st.text(min_size=1, max_size=30), st.text(max_size=30))
def test_any_name_and_secret_make_the_round_trip(name: str, secret: str) -> None:
    server = DigestServer(REALM)
    made = answered(server, DigestClient(Credentials(username=name, secret=secret)))
    assert server.username(made) == name
    assert server.check(made, secret, HOST) is Verdict.GOOD
    assert server.check(made, secret + "x", HOST) is Verdict.BAD


# ── stale, replay ───────────────────────────────────────────────────────────────────────────
def test_an_old_nonce_is_stale_and_the_new_challenge_says_so(
    server: DigestServer, clock: Clock
) -> None:
    client = DigestClient(GOOD)
    made = answered(server, client)
    clock.now += NONCE_LIFETIME + 1
    assert server.check(made, "zebra", HOST) is Verdict.STALE
    challenge = server.challenge(made, HOST, stale=True)
    assert all(value.endswith("stale=true") for value in challenge.get_all("www-authenticate"))
    assert client.authorise(made, challenge)
    assert server.check(made, "zebra", HOST) is Verdict.GOOD


def test_a_nonce_of_the_last_run_is_stale(server: DigestServer, clock: Clock) -> None:
    made = answered(server, DigestClient(GOOD))
    restarted = DigestServer(REALM, clock)
    assert restarted.check(made, "zebra", HOST) is Verdict.STALE


def test_a_nonce_of_one_who_shares_the_secret_is_good(server: DigestServer, clock: Clock) -> None:
    other, stranger = DigestServer(REALM, clock), DigestServer(REALM, clock)
    for one, secret in ((server, "ours"), (other, "ours"), (stranger, "theirs")):
        one.share(secret)
    made = answered(server, DigestClient(GOOD))
    assert other.check(made, "zebra", HOST) is Verdict.GOOD
    assert stranger.check(made, "zebra", HOST) is Verdict.STALE


def test_a_forged_nonce_is_never_good(server: DigestServer) -> None:
    assert server.check(by_hand(server), "zebra", HOST) is Verdict.GOOD
    for nonce in ["", ".", "0.0.0", "zz.1.2", "\x00", "ffffffffffff.00." + "0" * 32]:
        assert server.check(by_hand(server, nonce=nonce), "zebra", HOST) is Verdict.STALE


def test_a_nonce_is_good_only_from_where_it_was_given(server: DigestServer) -> None:
    made = answered(server, DigestClient(GOOD))
    assert server.check(made, "zebra", "203.0.113.66") is Verdict.STALE
    assert server.check(made, "zebra", HOST) is Verdict.GOOD


def test_a_replayed_answer_is_stale(server: DigestServer) -> None:
    made = answered(server, DigestClient(GOOD))
    assert server.check(made, "zebra", HOST) is Verdict.GOOD
    assert server.check(made, "zebra", HOST) is Verdict.STALE


def test_a_nonce_may_be_used_again_with_a_higher_count(server: DigestServer) -> None:
    client, made = DigestClient(GOOD), request("REGISTER")
    challenge = server.challenge(made, HOST)
    for use in range(1, 20):
        assert client.authorise(made, challenge)
        assert f"nc={use:08x}" in made.get("authorization")
        assert server.check(made, "zebra", HOST) is Verdict.GOOD


def test_a_count_that_is_no_number_is_refused(server: DigestServer) -> None:
    for count in ["xyz", "-1", "0", "00000000"]:
        assert server.check(by_hand(server, nc=count), "zebra", HOST) is Verdict.STALE


def test_old_clients_without_qop_are_served(server: DigestServer) -> None:
    assert server.check(by_hand(server, qop="", nc="", cnonce=""), "zebra", HOST) is Verdict.GOOD


# ── what cannot be accepted ─────────────────────────────────────────────────────────────────
def test_auth_int_is_refused(server: DigestServer) -> None:
    assert server.check(by_hand(server, qop="auth-int"), "zebra", HOST) is Verdict.BAD


def test_an_unknown_algorithm_is_bad(server: DigestServer) -> None:
    made = by_hand(server)
    made.set("authorization", made.get("authorization").replace("=MD5", "=SHA-512-256"))
    assert server.check(made, "zebra", HOST) is Verdict.BAD


def test_a_lower_case_algorithm_is_known(server: DigestServer) -> None:
    made = by_hand(server, algorithm="SHA-256")
    made.set("authorization", made.get("authorization").replace("SHA-256", "sha-256"))
    assert server.check(made, "zebra", HOST) is Verdict.GOOD


@pytest.mark.parametrize(
    "value",
    [
        "",
        "Digest",
        "Basic MTAxOnplYnJh",
        "Digest username",
        'Digest username="101',
        'Digest username="101" realm="example.com"',
        'Digest ="", =',
        "Digest \x00",
        'Digest realm="example.com"',
        'Digest realm="example.com", username="101", response="' + "é" * 40 + '"',
        'Digest realm="example.com", nonce="\udc80", response="\udcff", qop=auth, nc=1',
    ],
)
def test_answers_that_are_none(server: DigestServer, value: str) -> None:
    made = request("REGISTER", authorization=value)
    assert server.check(made, "zebra", HOST) is not Verdict.GOOD


@given(st.text(max_size=200))
def test_no_answer_raises(value: str) -> None:
    server = DigestServer(REALM)
    made = request("REGISTER", authorization="Digest " + value)
    server.username(made)
    assert server.check(made, "zebra", HOST) is not Verdict.GOOD


@given(
    st.dictionaries(
        st.sampled_from(
            ["username", "nonce", "nc", "qop", "response", "uri", "cnonce", "algorithm", "opaque"]
        ),
        st.text(st.characters(exclude_characters='"\\')),
    )
)
def test_no_parameter_raises(parameters: dict[str, str]) -> None:
    server = DigestServer(REALM)
    text = ", ".join(f'{name}="{value}"' for name, value in parameters.items())
    made = request("REGISTER", authorization=f'Digest realm="{REALM}", {text}')
    assert server.check(made, "zebra", HOST) is not Verdict.GOOD


def test_an_unknown_user_is_answered_like_a_known_one(server: DigestServer) -> None:
    """The exchange checks unknown users against a secret nobody has: same verdict, and the
    challenge that follows differs in nothing but what is random."""
    known = answered(server, DigestClient(Credentials(username="101", secret="wrong")))
    unknown = answered(server, DigestClient(Credentials(username="999", secret="wrong")))
    assert (
        server.check(known, "zebra", HOST) is server.check(unknown, "nobody's", HOST) is Verdict.BAD
    )

    def shape(challenge: Response) -> list[tuple[str, list[str]]]:
        values = [parse_parameters(v) or {} for v in challenge.get_all("www-authenticate")]
        return [
            (found["algorithm"], [*sorted(found), str(len(found["nonce"]))]) for found in values
        ]

    assert shape(server.challenge(known, HOST)) == shape(server.challenge(unknown, HOST))


# ── the client ──────────────────────────────────────────────────────────────────────────────
def challenged(*values: str, status: int = 401) -> tuple[Request, Response]:
    made = request("INVITE")
    response = made.response(status)
    response.set("www-authenticate" if status == 401 else "proxy-authenticate", values)
    return made, response


def given_answer(made: Request, name: str = "authorization") -> dict[str, str]:
    found = parse_parameters(made.get(name))
    assert found is not None
    return found


def test_the_client_chooses_auth_from_a_list_in_quotes() -> None:
    made, response = challenged('Digest realm="r", nonce="n", qop="auth,auth-int", algorithm=MD5')
    assert DigestClient(GOOD).authorise(made, response)
    found = given_answer(made)
    assert (found["qop"], found["nc"]) == ("auth", "00000001")
    assert found["response"] == response_value(
        "MD5", ha1("MD5", "101", "r", "zebra"), "INVITE", made.uri, "n", found["cnonce"],
        "00000001", "auth",
    )  # fmt: skip


def test_the_client_answers_without_qop_as_of_old() -> None:
    made, response = challenged('Digest realm="r", nonce="n"')
    assert DigestClient(GOOD).authorise(made, response)
    found = given_answer(made)
    assert not {"qop", "nc", "cnonce", "algorithm"} & set(found)
    a1 = hashlib.md5(b"101:r:zebra").hexdigest()
    assert found["response"] == response_value("MD5", a1, "INVITE", made.uri, "n")


def test_the_client_returns_opaque_and_algorithm() -> None:
    made, response = challenged(
        'Digest realm="r", nonce="n", opaque="o\\"paque", algorithm=MD5, stale=FALSE'
    )
    assert DigestClient(GOOD).authorise(made, response)
    assert given_answer(made)["opaque"] == 'o"paque'
    assert given_answer(made)["algorithm"] == "MD5"


def test_the_client_answers_a_407_in_proxy_authorization() -> None:
    made, response = challenged('Digest realm="r", nonce="n"', status=407)
    assert DigestClient(GOOD).authorise(made, response)
    assert "authorization" not in made
    assert given_answer(made, "proxy-authorization")["username"] == "101"


def test_the_client_passes_over_what_it_cannot_do() -> None:
    made, response = challenged(
        'Digest realm="r", nonce="n1", algorithm=SHA-512-256, qop="auth"',
        "NTLM realm=r",
        'Digest realm="r", nonce="n2", algorithm=MD5, qop="auth"',
    )
    assert DigestClient(GOOD).authorise(made, response)
    assert given_answer(made)["nonce"] == "n2"


@pytest.mark.parametrize(
    "values",
    [(), ("Basic realm=x",), ('Digest realm="r", nonce="n", algorithm=TOKEN',), ("Digest qop",)],
)
def test_the_client_gives_up_on_challenges_it_cannot_answer(values: tuple[str, ...]) -> None:
    made, response = challenged(*values)
    assert not DigestClient(GOOD).authorise(made, response)
    assert "authorization" not in made


def test_the_count_starts_anew_with_each_nonce() -> None:
    client = DigestClient(GOOD)
    for nonce in ["n1", "n1", "n2"]:
        made, response = challenged(f'Digest realm="r", nonce="{nonce}", qop="auth"')
        assert client.authorise(made, response)
    assert given_answer(made)["nc"] == "00000001"


def test_a_challenge_cannot_break_out_of_the_header() -> None:
    made, response = challenged('Digest realm="r\\", x=\\"y", nonce="n\\\\\\"q"')
    assert DigestClient(GOOD).authorise(made, response)
    found = given_answer(made)
    assert found["realm"] == 'r", x="y'
    assert found["nonce"] == 'n\\"q'


def test_secrets_do_not_show_in_a_log() -> None:
    assert "zebra" not in repr(GOOD)


# ── parameters ──────────────────────────────────────────────────────────────────────────────
def test_parameters_with_commas_in_quotes_and_spaces_around() -> None:
    assert parse_parameters('DIGEST  Realm = "a, b" ,qop="auth,auth-int",stale=false') == {
        "realm": "a, b",
        "qop": "auth,auth-int",
        "stale": "false",
    }


@given(st.text(max_size=300))
def test_parameters_never_raise(value: str) -> None:
    parse_parameters(value)
    parse_parameters("Digest " + value)


@pytest.mark.parametrize(
    ("many", "one_more"),
    [
        (", ".join(f"p{n}=v" for n in range(MAX_PARAMETERS)), ", q=v"),
        ('a="' + "x" * (MAX_HEADER - len('Digest a=""')) + '"', " "),
    ],
)
def test_what_is_looked_at_is_bounded(many: str, one_more: str) -> None:
    assert parse_parameters("Digest " + many) is not None
    assert parse_parameters("Digest " + many + one_more) is None
