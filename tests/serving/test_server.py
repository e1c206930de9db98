"""The server as a process: its address and token, slow and vanishing clients, and SIGTERM."""

from __future__ import annotations

import contextlib
import json
import random
import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from medalist.cli.app import main
from medalist.serving.server import Address, is_loopback
from notes_server import request, response, running, small_expander

SCRIPT = Path(__file__).parent.parent / "helpers/notes_server.py"
TOKEN = "0123456789abcdef"
CANARY = "secretphrase"


def limits(**values):
    return json.dumps({"seconds_to_ask": 1.0, "seconds_to_send": 2.0, **values})


def rankings(expansions):
    return [[name["long_form"] for name in one["alternatives"]] for one in expansions]


# Where it listens, and the token


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.8.0.1", True),
        ("::1", True),
        ("[::1]", True),
        ("::ffff:127.0.0.1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.7", False),
        ("notes.example", False),
    ],
)
def test_beyond_this_machine_it_needs_a_token_or_an_explicit_word(host, loopback, monkeypatch):
    monkeypatch.delenv("MEDALIST_TOKEN", raising=False)
    assert is_loopback(host) == loopback
    if not loopback:
        with pytest.raises(ValueError, match="--token-file"):
            Address(host=host).rules()
        assert Address(host=host, no_token=True).rules().addresses
        monkeypatch.setenv("MEDALIST_TOKEN", TOKEN)
        assert Address(host=host).rules().hosts is None
        named = Address(host=host, allowed_hosts=["a.example"]).rules().hosts
        assert named == {"a.example", "localhost", "127.0.0.1", "::1"}, "a health check on the machine itself goes on"
    else:
        assert "localhost" in Address(host=host).rules().hosts
    monkeypatch.setenv("MEDALIST_TOKEN", TOKEN)
    assert Address(host=host).rules().token == TOKEN


def test_a_token_file_wins_over_the_variable_and_neither_may_be_weak(tmp_path, monkeypatch):
    monkeypatch.setenv("MEDALIST_TOKEN", "x" * 20)
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    rules = Address(token_file=file).rules()
    assert rules.token == TOKEN
    assert TOKEN not in repr(rules)
    for weak in ("", "short", "with spaces in between", "ä" * 20, f"{TOKEN}\n{TOKEN}"):
        file.write_text(weak, encoding="utf-8")
        with pytest.raises(ValueError, match="at least 16 printable ASCII") as error:
            Address(token_file=file).rules()
        assert not weak or weak not in str(error.value)
    with pytest.raises(ValueError, match="leave one of them away"):
        Address(no_token=True).rules()
    with pytest.raises(FileNotFoundError):
        Address(token_file=tmp_path / "none").rules()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--host", "0.0.0.0"], "--token-file"),
        (["--host", "192.0.2.1", "--no-token"], "Cannot listen at 192.0.2.1, port 8000"),
        (["--max-waiting", "0"], "must be at least 1"),
        (["--port", "0"], "no-such-run"),
        (["--host", ""], "--host is empty: name an address to listen at, such as 127.0.0.1"),
        (
            ["--allow-host", "http://notes.example"],
            "--allow-host is 'http://notes.example', which no Host header can have",
        ),
        (["--token-file", "/dev/zero"], "/dev/zero has more than 4,096 bytes: put the token alone into a file"),
    ],
)
def test_what_cannot_work_ends_in_one_line(arguments, said, capsys, monkeypatch):
    monkeypatch.delenv("MEDALIST_TOKEN", raising=False)
    with pytest.raises(SystemExit) as stop:
        main(["serve", "no-such-run", *arguments])
    assert stop.value.code == 1
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_a_port_that_is_taken_is_reported_before_a_model_is_loaded(capsys):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(SystemExit):
            main(["serve", "no-such-run", "--port", str(other.getsockname()[1])])
    assert "Address already in use. Choose another with --port." in capsys.readouterr().err


def test_two_servers_started_at_once_on_one_port_do_not_both_get_it():
    with Address(port=0).bound() as first:
        second = Address(port=first.getsockname()[1])
        with pytest.raises(OSError, match=r"Address already in use\. Choose another with --port\.$"):
            second.bound()


@pytest.mark.parametrize(
    ("name", "host"),
    [
        ("notes.example:8000", "notes.example"),
        ("Notes.Example", "notes.example"),
        ("::1", "::1"),
        ("[::2]:80", "::2"),
        ("10.0.0.7:80", "10.0.0.7"),
        ("*", None),
        ("*.example", None),
        ("http://notes.example", None),
        ("notes.example/", None),
        ("a b", None),
        ("", None),
        ("[2001:db8::1]", "2001:db8::1"),
    ],
)
def test_an_allowed_host_is_compared_without_its_port_and_one_that_would_never_match_is_refused(name, host):
    address = Address(allowed_hosts=[name])
    if host is None:
        with pytest.raises(
            ValueError, match=r"^--allow-host is '.*', which no Host header can have: name a host alone"
        ):
            address.rules()
    else:
        assert host in address.rules().hosts


def test_without_its_packages_it_says_what_to_install(capsys, monkeypatch):
    monkeypatch.delitem(sys.modules, "medalist.serving.server")
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(SystemExit):
        main(["serve"])
    assert "pip install 'medalist[serve]'" in capsys.readouterr().err


# Clients as they are


@pytest.fixture(scope="module")
def process(model_folder):
    """A server that gives clients a second to ask and two to send."""
    with running(SCRIPT, model_folder, limits(characters=4000)) as process:
        yield process


def test_mixed_load_with_bad_slow_and_vanishing_clients_loses_and_alters_no_answer(model_folder):
    """Every good request gets the answer that its text gets alone, whatever the others do; no log holds any text."""
    texts = [f"{CANARY} {number}: CT and RA, then RA on N/V." for number in range(6)] + ["RA", ""]
    alone = [[one.to_dict() for one in found] for found in small_expander(model_folder)(texts)]

    def good(process, number):
        at = number % len(texts)
        status, body = process.ask({"texts": [texts[at], texts[0]]})
        assert status == 200
        [own, first] = json.loads(body)["results"]
        for sent, expected in ((own, alone[at]), (first, alone[0])):
            assert rankings(sent["expansions"]) == rankings(expected)
            for one, other in zip(sent["expansions"], expected, strict=True):
                assert one["probability"] == pytest.approx(other["probability"], abs=1e-4)
        return status

    def drip(process, number):
        """A good request, a few bytes at a time."""
        body = request({"text": texts[number % len(texts)]})
        with process.connect() as connection:
            for at in range(0, len(body), 40):
                connection.sendall(body[at : at + 40])
                time.sleep(0.02)
            status, sent = response(connection)
        assert rankings(json.loads(sent)["results"][0]["expansions"]) == rankings(alone[number % len(texts)])
        return status

    def bad(process, number):
        return process.ask([b"{", {"texts": CANARY}, {"text": "x" * 5000}][number % 3])[0]

    def no_http(process, _):
        with process.connect() as connection:
            connection.sendall(f"{CANARY}\r\n\r\n".encode())
            return int(connection.recv(100).split()[1])

    def leaves_halfway(process, number):
        with process.connect() as connection:
            whole = request({"text": texts[number % len(texts)]})
            connection.sendall(whole[: len(whole) - 5])
        return 0

    def leaves_before_the_answer(process, number):
        with process.connect() as connection:
            connection.sendall(request({"text": texts[number % len(texts)] * 20}))
        return 0

    kinds = [good, good, drip, bad, no_http, leaves_halfway, leaves_before_the_answer]
    order = [(kinds[number % len(kinds)], number) for number in range(140)]
    random.Random(0).shuffle(order)
    with running(SCRIPT, model_folder, limits(characters=4000)) as process:
        with ThreadPoolExecutor(12) as clients:
            done = list(clients.map(lambda one: (one[0].__name__, one[0](process, one[1])), order))
        statuses = {}
        for name, status in done:
            statuses.setdefault(name, set()).add(status)
        assert statuses == {
            "good": {200},
            "drip": {200},
            "bad": {400, 422, 413},
            "no_http": {400},
            "leaves_halfway": {0},
            "leaves_before_the_answer": {0},
        }
        assert process.ask({"text": "RA"})[0] == 200
        assert process.stop() == 0
    assert CANARY not in process.text()
    assert "POST /v1/expand 499" in process.text(), "clients that left are counted as such"
    assert "Traceback" not in process.text()


def test_a_body_that_does_not_arrive_in_time_ends_in_408_and_others_do_not_wait_for_it(process):
    with process.connect() as slow:
        slow.sendall(request({"text": "RA"})[:-1])
        began = time.monotonic()
        assert process.ask({"text": "RA"})[0] == 200
        assert time.monotonic() - began < 2
        status, body = response(slow)
        assert (status, json.loads(body)) == (408, {"detail": "The body did not arrive within 2 seconds"})
        assert slow.recv(1) == b"", "the connection is closed"


@pytest.mark.parametrize("sent", [b"", b"POST /v1/expand HTTP/1.1\r\nHost: local"])
def test_a_connection_that_asks_nothing_is_closed(process, sent):
    with process.connect() as silent:
        silent.sendall(sent)
        began = time.monotonic()
        with contextlib.suppress(ConnectionResetError):
            assert silent.recv(1) == b""
        assert 0.5 < time.monotonic() - began < 10


def test_a_connection_serves_one_request_after_another(process):
    with process.connect() as connection:
        for _ in range(3):
            connection.sendall(request({"text": "RA"}))
            assert response(connection)[0] == 200
            time.sleep(0.4)


def test_what_is_no_http_is_refused_and_counted_like_anything_else(process):
    with process.connect() as connection:
        connection.sendall(f"{CANARY}\r\n\r\n".encode())
        status, body = response(connection)
        assert (status, json.loads(body)) == (400, {"detail": "This is not a valid HTTP/1.1 request"})
        assert connection.recv(1) == b"", "the connection is closed"
    with process.connect() as connection:
        connection.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b'medalist_requests_total{method="other",route="other",status="400"}' in response(connection)[1]
    assert CANARY not in process.text()


def test_head_sends_the_headers_of_get_alone(process):
    with process.connect() as connection:
        for path, status in (("/healthz", b"200"), ("/none", b"404"), ("/healthz", b"200")):
            connection.sendall(f"HEAD {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            time.sleep(0.3)
            answer = connection.recv(65536)
            assert answer.startswith(b"HTTP/1.1 " + status) and answer.endswith(b"\r\n\r\n")
    assert "HEAD /healthz 200" in process.text()


def test_a_large_body_is_refused_with_an_answer_that_its_client_can_read(process):
    status, body = process.ask(b'{"text": "' + b"x" * 12_000_000 + b'"}')
    assert status == 413
    assert b"bytes" in body


def test_what_cannot_be_answered_in_time_after_sigterm_ends_with_an_error_and_no_traceback(model_folder):
    with running(SCRIPT, model_folder, limits(characters=10**6), 1) as process, process.connect(60) as connection:
        connection.sendall(request({"text": f"{CANARY} CT and RA. " * 20_000}))
        time.sleep(0.5)
        began = time.monotonic()
        process.started.terminate()
        assert response(connection) == (503, b'{"detail": "The server is shutting down"}')
        assert process.started.wait(60) == 1
        assert time.monotonic() - began < 20
    assert "POST /v1/expand 503" in process.text()
    errors = [line.split(" ", 3)[3].rstrip() for line in process.log if " ERROR " in line]
    said = "Cancel 1 running task(s), timeout graceful shutdown exceeded"
    assert errors == [said, "Ended before the last requests were answered"]
    assert CANARY not in process.text()
    assert "Traceback" not in process.text()


def test_sigterm_does_not_wait_for_a_text_whose_client_has_left(model_folder):
    with running(SCRIPT, model_folder, limits(characters=10**6)) as process:
        with process.connect() as connection:
            connection.sendall(request({"text": "CT and RA. " * 40_000}))
            time.sleep(0.5)
        time.sleep(0.5)
        began = time.monotonic()
        assert process.stop() == 0
        assert time.monotonic() - began < 15


def test_sigterm_answers_what_was_taken_refuses_what_is_new_and_ends_with_0(model_folder):
    long = "CT and RA, then RA. " * 150
    with running(SCRIPT, model_folder, limits(seconds_to_send=30.0)) as process:
        [expected] = json.loads(process.ask({"text": long})[1])["results"]
        taken = [process.connect(60) for _ in range(4)]
        for connection in taken:
            connection.sendall(request({"text": long}))
        arriving = process.connect()
        arriving.sendall(request({"text": "RA"})[:-1])
        idle = process.connect()
        time.sleep(0.3)  # until the server has read them
        process.started.terminate()
        status, _ = response(arriving)
        assert status == 503, "its body had not arrived"
        assert idle.recv(1) == b""
        for connection in taken:
            status, body = response(connection)
            assert status == 200
            assert rankings(json.loads(body)["results"][0]["expansions"]) == rankings(expected["expansions"])
        assert process.started.wait(30) == 0
        with pytest.raises(ConnectionError):
            process.connect()
    assert process.text().count("POST /v1/expand 200") == 5
