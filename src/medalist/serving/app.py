"""The HTTP routes; requests pass `gate` first and are queued by `model_queue`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.exception_handlers import http_exception_handler
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse
from fastapi.telemetry import TelemetryConfig
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException as AnyHTTPException

from .. import __version__
from ..expansion.expander import Expander
from ..tools.pages import template_environment
from .gate import CLIENT_LEFT, EXPAND, Gate, Rules
from .interface import (
    ExpandAnswer,
    ExpandRequest,
    InventoryAnswer,
    Limits,
    ListedSense,
    Problem,
    Status,
    WrongBody,
)
from .metrics import Metrics
from .model_queue import ExpansionFailed, ModelQueue, QueueFull

PAGE = Path(__file__).parent / "page"
"""The files of the page: each is served under its name, and `index.html` also at `/`."""
STYLE = Path(__file__).parent / "docs.css"
_NOTHING_REPORTED: TelemetryConfig = {
    "tracing": False,
    "metrics": False,
    "logs": False,
    "operation_spans": False,
    "auto_configure": False,
}
"""FastAPI can send paths and exception messages to an OpenTelemetry collector, and a path may contain a short form."""
_ROUTES = (EXPAND, "/v1/inventory/{short_form}", "/healthz", "/readyz", "/metrics", "/docs", "/openapi.json")
"""The routes by which `Gate` counts requests."""
_FIELDS = frozenset(ExpandRequest.model_fields) | {"body"}
_REASONS = {
    400: "The body is empty or cannot be read as JSON, or a header that decides was sent twice.",
    401: "The token is missing or wrong.",
    403: "A page of another origin sent the request.",
    404: "The short form is not listed.",
    408: "The body did not arrive in time.",
    413: "Too much text, or too many texts, for one request.",
    415: "The body is not `application/json`.",
    421: "The Host header names another machine.",
    500: "A fault of the server.",
    503: "Too much is waiting, or the server is shutting down; `Retry-After` says when to try again.",
}


_UNREADABLE = "The body cannot be read as JSON"


def create_app(expander: Expander, *, rules: Rules, limits: Limits | None = None, page: Path = PAGE) -> Gate:
    """Build the whole server as an ASGI application.

    Args:
        expander: belongs to the application from now on.
        rules: who may send requests; the paths of the page, of health checks and of the API description are made public
            here.
        limits: limits on each request, and on all of them together.
        page: folder of the page's files.
    """
    limits, metrics = limits or Limits(), Metrics()
    queue = ModelQueue(expander, limits, metrics)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        queue.start()
        yield
        queue.close(timeout=1.0)  # all waiting requests have been answered before this
        gate.still_reading = queue.alive

    app = FastAPI(
        title="Medalist",
        version=__version__,
        description="Expands the short forms of medical texts in context. Research software, not a medical device: a "
        "person must review its answers. No text that is sent is logged or stored.",
        lifespan=lifespan,
        docs_url=None,  # FastAPI's own pages load scripts from other sites
        redoc_url=None,
        redirect_slashes=False,
        telemetry=_NOTHING_REPORTED,
    )
    app.add_exception_handler(RequestValidationError, _wrong_body)
    app.add_exception_handler(AnyHTTPException, _refused)
    files = _serve_files(app, page)
    public = rules.public | files | {"/healthz", "/readyz", "/docs", "/docs.css", "/openapi.json"}
    gate = Gate(app, replace(rules, public=public), limits, metrics, _ROUTES)
    _serve_expansion(app, expander, queue, limits)
    _serve_state(app, queue, gate, metrics)
    _serve_description(app)
    if rules.token is not None:
        _describe_token(app.openapi(), public)
    return gate


def _serve_expansion(app: FastAPI, expander: Expander, queue: ModelQueue, limits: Limits) -> None:
    @app.post(
        EXPAND,
        response_model=ExpandAnswer,
        responses={**_problems(400, 401, 403, 408, 413, 415, 421, 500, 503), 422: {"model": WrongBody}},
        summary="Expand the short forms of one or several texts",
    )
    async def expand(request: Request, body: ExpandRequest) -> Response:
        """Each text gets the same answer as on its own."""
        texts = body.all_texts()
        characters = sum(map(len, texts))
        if characters > limits.characters or len(texts) > limits.texts:
            raise HTTPException(413, f"A request may hold {limits.characters:,} characters in {limits.texts:,} texts")
        return await _unless_left(request, queue, texts, body)

    @app.get(
        "/v1/inventory/{short_form:path}",
        response_model=InventoryAnswer,
        responses={**_problems(401, 403, 404, 421, 503), 422: {"model": WrongBody}},
        summary="The senses that are offered for a short form",
    )
    async def inventory(short_form: str) -> InventoryAnswer:
        """`copd` and `CTs` find COPD and CT; entries of the glossary replace the inventory's."""
        key = expander.inventory.key(short_form)
        if key is None:
            raise HTTPException(404, "This short form is not listed")
        senses = expander.inventory.senses[key]
        return InventoryAnswer(
            short_form=key,
            senses=[ListedSense(long_form=one.long_form, count=one.count, concept=one.concept) for one in senses],
        )


def _serve_state(app: FastAPI, queue: ModelQueue, gate: Gate, metrics: Metrics) -> None:
    """Routes for supervisors: health, readiness and counters."""

    @app.get("/healthz", responses={503: {"model": Status}}, summary="Whether the process is in order")
    async def healthz(response: Response) -> Status:
        """If not, it should be restarted."""
        response.status_code = 200 if queue.alive else 503
        return Status(status="ok" if queue.alive else "failed")

    @app.get("/readyz", responses={503: {"model": Status}}, summary="Whether it takes requests")
    async def readyz(response: Response) -> Status:
        """Not while it is shutting down."""
        ready = queue.alive and not gate.draining
        response.status_code = 200 if ready else 503
        return Status(status="ok" if ready else "draining" if gate.draining else "failed")

    @app.get(
        "/metrics",
        response_class=Response,
        responses={200: {"content": {"text/plain": {}}}, **_problems(401, 403, 421)},
        summary="Counters and times for Prometheus",
    )
    async def metrics_page() -> Response:
        """In Prometheus' text format."""
        return Response(metrics.page(), headers={"Content-Type": CONTENT_TYPE_LATEST})


def _serve_description(app: FastAPI) -> None:
    """The description for people, at `/docs`; FastAPI itself serves the machine-readable one, `/openapi.json`."""

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return HTMLResponse(template_environment().get_template("api.html").render(api=app.openapi()))

    @app.get("/docs.css", include_in_schema=False)
    async def style() -> FileResponse:
        return FileResponse(STYLE)


def _describe_token(described: dict[str, Any], public: frozenset[str]) -> None:
    """Add to the OpenAPI description, which FastAPI builds once, which paths require the token."""
    described.setdefault("components", {})["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    for path, methods in described["paths"].items():
        for operation in methods.values() if path not in public else ():
            operation["security"] = [{"token": []}]


async def _unless_left(request: Request, queue: ModelQueue, texts: list[str], body: ExpandRequest) -> Response:
    """The model's answer; the model is not asked if the client disconnects before its turn."""
    answer = asyncio.create_task(queue.expand(texts, body.replace))
    left = asyncio.ensure_future(request.receive())  # the body was read, so the next event is the disconnect
    try:
        await asyncio.wait({answer, left}, return_when=asyncio.FIRST_COMPLETED)
        if not answer.done():
            return Response(status_code=CLIENT_LEFT)
        return Response(answer.result(), media_type="application/json")
    except QueueFull as full:
        raise HTTPException(503, "Too much is waiting", {"Retry-After": str(full.seconds)}) from None
    except ExpansionFailed:
        raise HTTPException(500, "The server failed on this request; its log says where") from None
    finally:
        answer.cancel()
        left.cancel()


async def _wrong_body(_: Request, error: Exception) -> JSONResponse:
    """Say where a body is wrong and why, without values or names from the client."""
    assert isinstance(error, RequestValidationError)
    parts = [
        {
            "loc": [part if isinstance(part, int) or part in _FIELDS else "(another field)" for part in one["loc"]],
            "msg": one["msg"],
            "type": one["type"],
        }
        for one in error.errors()
    ]
    if any(part["type"] == "json_invalid" for part in parts):
        return JSONResponse({"detail": _UNREADABLE}, 400)
    return JSONResponse({"detail": parts}, 422)


async def _refused(request: Request, error: Exception) -> Response:
    """Send a refusal as it is, except where FastAPI could not parse a body: its message does not say what to do."""
    assert isinstance(error, AnyHTTPException)
    if error.detail == "There was an error parsing the body":
        error = HTTPException(400, f"{_UNREADABLE}, in UTF-8, not compressed, and not nested deeply")
    return await http_exception_handler(request, error)


def _problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return {status: {"model": Problem, "description": _REASONS[status]} for status in statuses}


def _serve_files(app: FastAPI, folder: Path) -> frozenset[str]:
    """Serve the files of a folder, each at its own path; returns the paths."""
    paths = {f"/{file.relative_to(folder).as_posix()}": file for file in folder.rglob("*") if file.is_file()}
    if index := paths.get("/index.html"):
        paths["/"] = index
    for path, file in paths.items():
        app.add_api_route(path, _file_at(file), include_in_schema=False)
    return frozenset(paths)


def _file_at(file: Path) -> Any:
    async def send() -> FileResponse:
        return FileResponse(file, headers={"Cache-Control": "no-cache"})

    return send
