"""What each address answers.

Covers `interface`, `metrics`, `quiet` and `cli.serve` too.
"""

from __future__ import annotations

import gzip
import json
import logging
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from medalist.expansion.expander import Expander
from medalist.serving.app import create_app
from medalist.serving.gate import Rules
from medalist.serving.interface import ExpandAnswer, ExpandRequest, Limits, answer_json
from notes_server import INVENTORY

CANARY = "secretphrase"
PAGE = Path(__file__).parents[2] / "docs/serve.md"
NOTES = [
    "Two CTs of the chest, then RA again; the (RA) was wide. 10U given.",
    "",
    "No short form here.",
    "a\r\nb 🫀 on RA",
    "N/V and RA. " * 9,
]


@pytest.fixture
def expander(loaded):
    return Expander(loaded, INVENTORY, min_probability=0.5)


@pytest.fixture
def client(expander):
    with TestClient(create_app(expander, rules=Rules()), raise_server_exceptions=False) as client:
        yield client


def same(sent, expected):
    """Whether a result of the server is an `ExpandedText`: the same ranking, probabilities within 1e-4."""
    assert sent["warnings"] == [one.to_dict() for one in expected.warnings]
    assert len(sent["expansions"]) == len(expected)
    for one, other in zip(sent["expansions"], expected, strict=True):
        wanted = other.to_dict()
        assert [name["long_form"] for name in one["alternatives"]] == [name for name, _ in other.alternatives]
        for name in ("start", "end", "short_form", "key", "long_form", "evidence", "sure", "definition", "warning"):
            assert one[name] == wanted[name]
        assert one["probability"] == pytest.approx(other.probability, abs=1e-4)
    return True


def test_one_text_and_many_get_what_the_expander_answers_for_each_alone(client, loaded):
    alone = Expander(loaded, INVENTORY, min_probability=0.5)
    [single] = client.post("/v1/expand", json={"text": NOTES[0]}).json()["results"]
    assert same(single, alone(NOTES[0]))
    assert len(single["expansions"]) == 3
    assert [one["notation"] for one in single["warnings"]] == ["U"]
    many = client.post("/v1/expand", json={"texts": NOTES}).json()["results"]
    assert all(same(one, alone(note)) for one, note in zip(many, NOTES, strict=True))


def test_clients_at_once_get_the_answers_that_each_would_get_alone(client, loaded):
    alone = {note: Expander(loaded, INVENTORY, min_probability=0.5)(note) for note in NOTES}
    asked = [NOTES[number % len(NOTES)] for number in range(24)]
    with ThreadPoolExecutor(8) as clients:
        answers = list(clients.map(lambda note: client.post("/v1/expand", json={"text": note}), asked))
    for note, answer in zip(asked, answers, strict=True):
        assert same(answer.json()["results"][0], alone[note])
    metrics = client.get("/metrics").text
    passes = float(re.search(r"^medalist_pass_texts_count (\S+)", metrics, re.MULTILINE)[1])
    assert passes < len(asked), "some were read together"


def test_a_text_comes_back_with_its_short_forms_replaced_where_that_is_asked_for(client, expander):
    for unsure in ("mark", "leave"):
        answer = client.post("/v1/expand", json={"text": NOTES[0], "replace": unsure}).json()
        assert answer["results"][0]["replaced"] == expander(NOTES[0]).replaced(unsure=unsure)
    assert "replaced" not in client.post("/v1/expand", json={"text": "RA", "replace": None}).json()["results"][0]


def test_half_a_surrogate_pair_goes_through_and_back(client):
    body = b'{"text": "\\ud83d on RA", "replace": "leave"}'
    answer = client.post("/v1/expand", content=body, headers={"Content-Type": "application/json"})
    assert answer.json()["results"][0]["replaced"].startswith("\ud83d on ")


@pytest.mark.parametrize(
    "body",
    [
        b'{"text": "\xff canary"}',
        gzip.compress(b'{"text": "canary"}'),
        b"[" * 100_000,
        b'{"text": ' + b"9" * 5_000 + b"}",
    ],
    ids=["not UTF-8", "gzip", "nested", "digits"],
)
def test_a_body_that_cannot_be_read_is_refused_with_what_to_do(client, body):
    answer = client.post("/v1/expand", content=body, headers={"Content-Type": "application/json"})
    said = "The body cannot be read as JSON, in UTF-8, not compressed, and not nested deeply"
    assert (answer.status_code, answer.json()) == (400, {"detail": said})


@pytest.mark.parametrize("content", [None, b""])
def test_an_empty_body_is_refused_like_any_that_is_no_json(client, content):
    answer = client.post("/v1/expand", content=content, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()) == (400, {"detail": "The body is empty: it must be JSON"})


@pytest.mark.parametrize("path", ["/", "/page.css", "/healthz", "/readyz", "/metrics", "/docs", "/openapi.json"])
def test_head_gets_what_get_does_without_the_body(client, path):
    head, get = client.head(path), client.get(path)
    assert (head.status_code, head.content) == (200, b"") and get.content
    assert head.headers["content-type"] == get.headers["content-type"]
    assert path == "/metrics" or head.headers["content-length"] == get.headers["content-length"]


def test_head_of_the_inventory_says_whether_a_short_form_is_listed(client):
    assert client.head("/v1/inventory/RA").status_code == 200
    assert client.head("/v1/inventory/QQT").status_code == 404
    assert client.head("/v1/expand").status_code == 405
    counted = client.get("/metrics").text
    assert 'medalist_requests_total{method="HEAD",route="/v1/inventory/{short_form}",status="200"} 1.0' in counted


def test_the_description_says_where_the_token_is_wanted_if_there_is_one(expander):
    described = create_app(expander, rules=Rules(token="0123456789abcdef"))
    with TestClient(described) as client:
        schema = client.get("/openapi.json").json()
    assert schema["components"]["securitySchemes"] == {"token": {"type": "http", "scheme": "bearer"}}
    wanting = {path for path, methods in schema["paths"].items() for one in methods.values() if "security" in one}
    assert wanting == {"/v1/expand", "/v1/inventory/{short_form}", "/metrics"}
    with TestClient(create_app(expander, rules=Rules())) as client:
        assert "securitySchemes" not in client.get("/openapi.json").json()["components"]


def test_answers_are_as_the_description_says(client):
    ExpandAnswer.model_validate(client.post("/v1/expand", json={"texts": NOTES, "replace": "mark"}).json(), strict=True)


@pytest.mark.parametrize(
    ("asked", "key"), [("RA", "RA"), ("CTs", "CT"), ("ct", "CT"), ("N/V", "N/V"), ("N%2FV", "N/V")]
)
def test_the_inventory_shows_the_senses_of_a_short_form(client, asked, key):
    answer = client.get(f"/v1/inventory/{asked}")
    assert answer.json() == {
        "short_form": key,
        "senses": [{"long_form": s.long_form, "count": s.count, "concept": s.concept} for s in INVENTORY.senses[key]],
    }


def test_the_glossary_takes_the_place_of_the_inventory(loaded):
    expander = Expander(loaded, INVENTORY, glossary={"RA": "radial artery"})
    with TestClient(create_app(expander, rules=Rules())) as client:
        assert [s["long_form"] for s in client.get("/v1/inventory/RA").json()["senses"]] == ["radial artery"]
        [found] = client.post("/v1/expand", json={"text": "on RA"}).json()["results"][0]["expansions"]
    assert (found["long_form"], found["evidence"]) == ("radial artery", "glossary")


# What is wrong, without saying it back


WRONG = [
    (b"{", 400),
    (b'{"text": "secretphrase', 400),
    (b"\xff\xfe", 400),
    (b'{"text": "secretphrase", "texts": []}', 422),
    (b"{}", 422),
    (b"", 400),
    (b"null", 422),
    (b'"secretphrase"', 422),
    (b'["secretphrase"]', 422),
    (b'{"text": {"secretphrase": "secretphrase"}}', 422),
    (b'{"texts": "secretphrase"}', 422),
    (b'{"texts": ["x", ["secretphrase"]]}', 422),
    (b'{"text": "x", "secretphrase": "secretphrase"}', 422),
    (b'{"text": "x", "replace": "secretphrase"}', 422),
    (b'{"text": NaN}', 422),
    (b'{"text": null}', 422),
    (b"[" * 100_000, 400),
    (b'{"text": ' + b"9" * 5000 + b"}", 400),
    (json.dumps({"text": CANARY + "x" * 1000}).encode(), 413),
    (json.dumps({"texts": [CANARY] * 9}).encode(), 413),
    (json.dumps({"text": CANARY + "x" * 100_000}).encode(), 413),
]


@pytest.mark.parametrize(
    ("body", "status"), WRONG, ids=[f"{number}-{status}" for number, (_, status) in enumerate(WRONG)]
)
def test_a_wrong_body_is_refused_and_neither_answer_nor_log_nor_metrics_quote_it(expander, caplog, body, status):
    app = create_app(expander, rules=Rules(), limits=Limits(characters=500, texts=8))
    # what the Python API's own limits let through reaches the parser
    large = status == 400 and len(body) > 2000
    app = create_app(expander, rules=Rules()) if large else app
    with caplog.at_level(logging.DEBUG), TestClient(app, raise_server_exceptions=False) as client:
        answer = client.post("/v1/expand", content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code == status
        assert answer.json()["detail"]
        shown = answer.text + str(answer.headers) + client.get("/metrics").text + caplog.text
    assert CANARY not in shown


def test_a_wrong_part_is_named_by_its_place(client):
    detail = client.post("/v1/expand", json={"texts": ["x", 7], CANARY: 1}).json()["detail"]
    assert detail == [
        {"loc": ["body", "texts", 1], "msg": "Input should be a valid string", "type": "string_type"},
        {"loc": ["body", "(another field)"], "msg": "Extra inputs are not permitted", "type": "extra_forbidden"},
    ]


@pytest.mark.parametrize(
    "body", [{"texts": [7] * 100_000}, {f"k{number}": 1 for number in range(50_000)}], ids=["texts", "fields"]
)
def test_a_body_that_is_wrong_in_many_parts_is_told_of_one(client, body):
    """A description of each would keep the event loop, and so all clients, for seconds."""
    answer = client.post("/v1/expand", json=body)
    assert (answer.status_code, len(answer.json()["detail"])) == (422, 1)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", f"/v1/inventory/{CANARY}"),
        ("GET", f"/{CANARY}?{CANARY}={CANARY}"),
        ("GET", f"/page.js/../../{CANARY}"),
        ("PUT", f"/v1/expand?text={CANARY}"),
        (CANARY.upper(), "/v1/expand"),
    ],
)
def test_what_a_client_writes_into_an_address_is_neither_answered_logged_nor_counted(client, caplog, method, path):
    with caplog.at_level(logging.DEBUG, "medalist"):
        answer = client.request(method, path, headers={"X-Note": CANARY, "User-Agent": CANARY})
    assert 400 <= answer.status_code < 500
    shown = answer.text + str(answer.headers) + client.get("/metrics").text + caplog.text
    assert CANARY not in shown.lower()


def test_a_fault_is_one_line_to_the_client_and_its_place_to_the_log(expander, caplog, monkeypatch):
    def fails(*_, **__):
        raise RuntimeError(f"cannot read {CANARY}")

    monkeypatch.setattr(expander, "_scores", fails)
    with caplog.at_level(logging.DEBUG), TestClient(create_app(expander, rules=Rules())) as client:
        answer = client.post("/v1/expand", json={"text": f"{CANARY} on RA"})
        monkeypatch.undo()
        assert client.post("/v1/expand", json={"text": "on RA"}).status_code == 200, "it goes on"
        assert client.get("/healthz").json() == {"status": "ok"}
    assert (answer.status_code, answer.json()) == (
        500,
        {"detail": "The server failed on this request; its log says where"},
    )
    assert "RuntimeError at test_app.py:" in caplog.text
    assert CANARY not in caplog.text


def test_a_fault_of_the_interface_itself_reaches_no_log_with_its_message(expander, caplog, monkeypatch):
    def fails(_):
        raise RuntimeError(CANARY)

    monkeypatch.setattr("medalist.serving.app.template_environment", lambda: fails(0))
    with caplog.at_level(logging.DEBUG), TestClient(create_app(expander, rules=Rules())) as client:
        assert client.get("/docs").status_code == 500
    assert "RuntimeError at test_app.py:" in caplog.text
    assert CANARY not in caplog.text


def test_a_full_queue_answers_503_with_retry_after(expander, monkeypatch):
    began, go = threading.Event(), threading.Event()
    scores = expander._scores

    def slow(*arguments):
        began.set()
        assert go.wait(20)
        return scores(*arguments)

    monkeypatch.setattr(expander, "_scores", slow)
    app = create_app(expander, rules=Rules(), limits=Limits(waiting=1))
    with TestClient(app) as client, ThreadPoolExecutor(2) as clients:
        first = clients.submit(client.post, "/v1/expand", json={"text": "RA"})
        assert began.wait(20)
        second = clients.submit(client.post, "/v1/expand", json={"text": "CT"})
        while "medalist_waiting_requests 1.0" not in client.get("/metrics").text:
            pass
        refused = client.post("/v1/expand", json={"text": "RA"})
        go.set()
        assert [first.result().status_code, second.result().status_code] == [200, 200]
    assert refused.status_code == 503
    assert 1 <= int(refused.headers["Retry-After"]) <= 60


def test_health_tells_of_a_dead_model_thread(expander):
    app = create_app(expander, rules=Rules())
    client = TestClient(app)  # without `with`: the thread is never started
    assert [client.get(path).status_code for path in ("/healthz", "/readyz")] == [503, 503]
    assert client.get("/healthz").json() == {"status": "failed"}


# Metrics, description, page


def test_metrics_count_requests_texts_and_evidence(client):
    client.post("/v1/expand", json={"texts": ["on RA", "XQZW"]})
    client.get("/v1/inventory/none")
    text = client.get("/metrics").text
    for line in (
        'medalist_requests_total{method="POST",route="/v1/expand",status="200"} 1.0',
        'medalist_requests_total{method="GET",route="/v1/inventory/{short_form}",status="404"} 1.0',
        "medalist_texts_total 2.0",
        "medalist_characters_total 9.0",
        'medalist_short_forms_total{evidence="unlisted"} 1.0',
    ):
        assert line in text


def test_nothing_that_is_shown_loads_anything_from_elsewhere(client):
    page = client.get("/docs").text
    assert "POST /v1/expand" in page
    for address in re.findall(r"""(?:src|href)=["']?([^"'> ]+)""", page):
        assert address.startswith(("/", "#")), address
        if address.startswith("/"):
            assert client.get(address).status_code == 200, address
    assert "<script" not in page and "style=" not in page and "<style" not in page
    assert client.get("/redoc").status_code == 404


def test_the_files_of_the_page_are_served_at_the_root_and_no_others(expander, tmp_path):
    (tmp_path / "page").mkdir()
    (tmp_path / "page/index.html").write_text("<title>the page</title>")
    (tmp_path / "page/page.js").write_text("'use strict'")
    (tmp_path / "beside").write_text(CANARY)
    with TestClient(create_app(expander, rules=Rules(), page=tmp_path / "page")) as client:
        assert "the page" in client.get("/").text
        assert client.get("/page.js").headers["Content-Type"].startswith("text/javascript")
        assert client.get("/page.js").headers["Cache-Control"] == "no-cache"
        for path in ("/beside", "/%2e%2e/beside", "/..%2fbeside", "/none.js"):
            assert client.get(path).status_code == 404


def test_fastapi_reports_nothing_to_a_collector(expander, monkeypatch, caplog):
    """FastAPI records spans and exceptions where the process has an OpenTelemetry provider or the environment asks."""
    from opentelemetry import _logs, metrics, trace

    used = []

    class Provider:
        def __getattr__(self, name):
            used.append(name)
            raise AttributeError(name)

    for module, name in (
        (trace, "get_tracer_provider"),
        (metrics, "get_meter_provider"),
        (_logs, "get_logger_provider"),
    ):
        monkeypatch.setattr(module, name, Provider)
    monkeypatch.setenv("FASTAPI_OTEL_AUTO_CONFIGURE", "true")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:1")
    with TestClient(create_app(expander, rules=Rules())) as client:
        assert client.post("/v1/expand", json={"text": "RA"}).status_code == 200
        assert client.post("/v1/expand", json={}).status_code == 422
    assert used == []
    assert "telemetry" not in caplog.text


def test_the_page_on_the_server_shows_what_the_reader_answers():
    asked, shown, *_ = re.findall(r"^```json\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    request = ExpandRequest.model_validate_json(asked)
    told = json.loads(answer_json(list(Expander.load()(request.all_texts())), request.replace))

    def without_figures(answer):
        """The answer without its probabilities, and these in order."""
        figures = []
        for result in answer["results"]:
            for one in result["expansions"]:
                one["alternatives"] = one["alternatives"][:2]
                figures += [part.pop("probability") for part in (one, *one["alternatives"])]
        return answer, figures

    (answer, figures), (page, its_figures) = without_figures(told), without_figures(json.loads(shown))
    assert answer == page
    assert figures == pytest.approx(its_figures, abs=0.02)
