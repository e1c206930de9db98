"""Who may ask, how much, and what every answer says to browsers."""

from __future__ import annotations

import json

import pytest
from starlette.testclient import TestClient

from medalist.expansion.expander import Expander
from medalist.serving.app import create_app
from medalist.serving.gate import HEADERS, Rules
from medalist.serving.interface import Limits
from medalist.serving.server import Address
from notes_server import INVENTORY

TOKEN = "0123456789abcdef"


@pytest.fixture
def serving(loaded):
    """Make a client of a server with these rules."""
    opened = []

    def make(rules=None, **limits):
        app = create_app(Expander(loaded, INVENTORY), rules=rules or Rules(), limits=Limits(**limits))
        client = TestClient(app).__enter__()
        opened.append(client)
        return client

    yield make
    for client in opened:
        client.__exit__(None, None, None)


@pytest.mark.parametrize(
    "given",
    [None, "", "Bearer", "Bearer ", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", f"Basic {TOKEN}", TOKEN, "Bearer é"],
)
def test_a_missing_or_wrong_token_opens_nothing_but_the_page_health_and_description(serving, given):
    client = serving(Rules(token=TOKEN))
    headers = {} if given is None else {"Authorization": given.encode("latin-1")}
    for method, path in (
        ("POST", "/v1/expand"),
        ("GET", "/v1/inventory/RA"),
        ("GET", "/metrics"),
        ("GET", "/v1%2fexpand"),
        ("GET", "//v1/expand"),
        ("GET", "/none"),
    ):
        answer = client.request(method, path, headers=headers)
        assert (path, answer.status_code) == (path, 401)
        assert answer.headers["WWW-Authenticate"] == "Bearer"
    for path in ("/healthz", "/readyz", "/docs", "/docs.css", "/openapi.json", "/favicon.svg"):
        assert client.get(path, headers=headers).status_code == 200


@pytest.mark.parametrize("scheme", ["Bearer", "bearer"])
def test_the_right_token_opens_everything(serving, scheme):
    client = serving(Rules(token=TOKEN))
    headers = {"Authorization": f"{scheme} {TOKEN}"}
    assert client.post("/v1/expand", json={"text": "RA"}, headers=headers).status_code == 200
    assert client.get("/metrics", headers=headers).status_code == 200


def test_a_token_is_compared_in_constant_time(serving, monkeypatch):
    compared = []
    monkeypatch.setattr("hmac.compare_digest", lambda *both: compared.append(both) or both[0] == both[1])
    serving(Rules(token=TOKEN)).get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
    assert compared == [(TOKEN.encode(), TOKEN.encode())]


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("LOCALHOST:8000", 200),
        ("127.0.0.1:8000", 200),
        ("[::1]:8000", 200),
        ("[0:0:0:0:0:0:0:1]", 200),
        ("[::ffff:127.0.0.1]:8000", 200),
        ("::1", 421),
        ("[::1].evil.example", 421),
        ("evil.example[::1]", 421),
        ("[fe80::1]", 421),
        ("notes.example", 200),
        ("evil.example", 421),
        ("localhost.evil.example", 421),
        ("127.0.0.1.evil.example", 421),
        ("localhost@evil.example", 421),
        ("evil.example@localhost", 421),
        ("localhost/evil.example", 421),
        ("[", 421),
        ("", 421),
    ],
)
def test_on_loopback_only_a_host_of_this_machine_is_answered(serving, host, status):
    client = serving(Address(allowed_hosts=["Notes.example"]).rules())
    answer = client.get("/healthz", headers={"Host": host})
    assert answer.status_code == status


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("10.0.0.7:8000", 200),
        ("[fe80::1]", 200),
        ("localhost", 200),
        ("evil.example", 421),
        ("10.0.0.7.evil.example", 421),
    ],
)
def test_without_a_token_a_web_page_cannot_ask_under_a_name_of_its_own(serving, host, status):
    """DNS rebinding: the name of the page's server is made to mean this one."""
    client = serving(Address(host="0.0.0.0", no_token=True).rules())
    assert client.get("/healthz", headers={"Host": host, "Origin": f"http://{host}"}).status_code == status


@pytest.mark.parametrize(
    "twice",
    [
        [("Authorization", "Bearer x"), ("Authorization", "Bearer y")],
        [("Content-Type", "text/plain"), ("Content-Type", "application/json")],
        [("Origin", "http://testserver"), ("Origin", "http://evil.example")],
        [("Content-Length", "2"), ("Transfer-Encoding", "chunked")],
    ],
)
def test_of_two_headers_that_decide_none_is_taken(serving, twice):
    answer = serving().post("/v1/expand", content=b"{}", headers=twice)
    assert (answer.status_code, answer.headers["Connection"]) == (400, "close")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Origin": "http://testserver"}, 200),
        ({"Origin": "https://testserver"}, 200),  # behind a proxy that speaks TLS
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "http://testserver.evil.example"}, 403),
        ({"Origin": "http://testserver:81"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://["}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
    ],
)
def test_pages_of_another_origin_may_not_ask(serving, headers, status):
    answer = serving().post("/v1/expand", json={"text": "RA"}, headers=headers)
    assert answer.status_code == status
    assert "Access-Control-Allow-Origin" not in answer.headers


def test_a_link_from_elsewhere_may_lead_here(serving):
    assert serving().get("/docs", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 200


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("application/json", 200),
        ("Application/JSON; charset=utf-8", 200),
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
        (None, 415),
    ],
)
def test_only_json_is_read(serving, kind, status):
    headers = {} if kind is None else {"Content-Type": kind}
    assert serving().post("/v1/expand", content=b'{"text": "RA"}', headers=headers).status_code == status


def chunks(size):
    """A body whose length the client does not tell."""
    yield b'{"text": "'
    for _ in range(size):
        yield b"x"
    yield b'"}'


@pytest.mark.parametrize("known", [True, False])
def test_a_large_body_is_refused_whether_or_not_its_length_is_told(serving, known):
    client, headers = serving(characters=10, texts=1), {"Content-Type": "application/json"}
    most = Limits(characters=10, texts=1).body
    for size, status in ((most - 12, 413), (most, 413)):
        body = b"".join(chunks(size)) if known else chunks(size)
        answer = client.post("/v1/expand", content=body, headers=headers)
        assert answer.status_code == status
        assert ("bytes" in answer.json()["detail"]) == (size == most), "refused before it is parsed"


def test_the_largest_text_fits_however_it_is_escaped(serving):
    client = serving(characters=10_000)
    for text in ("\U0001fac0" * 10_000, "\x00" * 10_000):
        body, headers = json.dumps({"text": text}), {"Content-Type": "application/json"}
        assert client.post("/v1/expand", content=body, headers=headers).status_code == 200
    assert client.post("/v1/expand", json={"text": "x" * 10_001}).status_code == 413


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/docs", 200), ("GET", "/none", 404), ("POST", "/v1/expand", 415), ("PUT", "/healthz", 405)],
)
def test_every_answer_tells_browsers_to_keep_nothing_and_run_nothing_foreign(serving, method, path, status):
    answer = serving().request(method, path)
    assert answer.status_code == status
    for name, value in HEADERS.items():
        assert answer.headers[name] == value
    policy = answer.headers["Content-Security-Policy"]
    assert "unsafe" not in policy and "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
    assert answer.headers["Cache-Control"] == "no-store"


def test_too_many_open_requests_are_refused_but_health_and_metrics_answer(serving):
    client = serving(open_requests=0)
    refused = client.post("/v1/expand", json={"text": "RA"})
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
    assert [client.get(path).status_code for path in ("/healthz", "/metrics")] == [200, 200]


def test_while_it_drains_new_requests_are_refused_and_readiness_says_so(serving):
    client = serving()
    client.app.drain()
    refused = client.post("/v1/expand", json={"text": "RA"})
    assert (refused.status_code, refused.headers["Connection"]) == (503, "close")
    assert int(refused.headers["Retry-After"]) > 0
    ready = client.get("/readyz")
    assert (ready.status_code, ready.json()) == (503, {"status": "draining"})
    assert client.get("/healthz").status_code == 200
