"""Guards the HTTP interface: authentication, size and rate limits, logging, response headers.

A plain ASGI application around another one, which receives each body whole.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import json
import re
import time
from collections.abc import Collection
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .interface import Limits
from .metrics import Metrics
from .quiet import described, logger

EXPAND = "/v1/expand"
CLIENT_LEFT = 499
"""Status counted for a client that closed its connection before the answer (nginx's convention)."""
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""Headers of every response."""
_SINGLE = ("host", "authorization", "content-type", "origin", "sec-fetch-site")
"""Headers that decide whether a request is answered; if repeated, a proxy may have checked the other one."""
_HOST = re.compile(r"(\[[^][]+\]|[^][:/?#@\\\s]+)(?::\d{0,5})?")
"""An IPv6 address in brackets, or another address or name; optionally a port."""
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"})
_DISCARDED = 16 * 1024 * 1024
"""Bytes of a refused body that are read and discarded, so that the client receives the reason: closing at once would
reset the connection."""
_SECONDS_TO_DISCARD = 2.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Rules:
    """Who may send requests."""

    token: str | None = field(default=None, repr=False)
    """The bearer token that clients must send; None: none is needed."""
    hosts: frozenset[str] | None = None
    """Allowed values of the Host header, normalised by `plain_host`; None: any."""
    addresses: bool = False
    """Whether any IP address is also allowed: a malicious web page can only use a name (DNS rebinding)."""
    public: frozenset[str] = frozenset()
    """Paths that need no token."""


class _Refused(Exception):
    def __init__(self, status: int, detail: str, **headers: str) -> None:
        super().__init__(detail)
        self.status, self.detail, self.headers = status, detail, headers


class _Left(Exception):
    """The client closed its connection."""


class Gate:
    """An ASGI application that guards another one.

    Args:
        inner: the application to guard.
        rules: who may send requests.
        limits: the size of a request, and how long it may take to arrive.
        metrics: the counters to update.
        routes: the routes to count by; other paths are counted as "page" if they are public, otherwise as "other".
    """

    def __init__(
        self, inner: ASGIApp, rules: Rules, limits: Limits, metrics: Metrics, routes: Collection[str] = ()
    ) -> None:
        self._inner, self._rules, self._limits, self._metrics = inner, rules, limits, metrics
        self._routes = frozenset(routes)
        self._arriving: set[asyncio.Timeout] = set()
        self._open = 0
        self.draining = False
        """Whether new requests are refused."""
        self.cut_off = False
        """Whether a request was not answered because the server's shutdown period was over."""
        self.still_reading = False
        """Whether the application ended while the model was still reading a text."""

    def drain(self) -> None:
        """From now on, refuse new requests and those whose body is still arriving; call it in the event loop."""
        self.draining = True
        for deadline in self._arriving:
            deadline.reschedule(0)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; other events, for the server's start and end, go to the inner application."""
        if scope["type"] != "http":
            await self._inner(scope, receive, send)
            return
        began = time.perf_counter()
        answer = _Answer(send, with_body=scope["method"] != "HEAD")
        self._open += 1
        try:
            await self._guarded(scope, receive, answer)
        except _Left:
            answer.status = CLIENT_LEFT
        except asyncio.CancelledError:  # the server's shutdown period is over
            self.cut_off = True
            if answer.status is not None:
                raise
            await answer.refuse(_Refused(503, "The server is shutting down", **{"Retry-After": "5"}), receive)
        except Exception as error:  # its message may quote a text, so it must not be logged
            logger.error("Answering failed: %s", described(error))
            if answer.status is None:
                await answer.problem(500, "The server failed; its log says where")
        finally:
            self._open -= 1
            self._note(scope, answer.status or CLIENT_LEFT, time.perf_counter() - began)

    def count_unreadable(self) -> None:
        """Count a request that is not valid HTTP, which the server refused without asking the gate."""
        self._metrics.requests.labels("other", "other", "400").inc()
        logger.info("other other 400 0 ms")

    async def _guarded(self, scope: Scope, receive: Receive, answer: _Answer) -> None:
        try:
            self._check(scope)
            body = await self._body(scope, receive)
        except _Refused as refusal:
            await answer.refuse(refusal, receive)
            return
        if not body and scope["path"] == EXPAND and scope["method"] == "POST":
            await answer.problem(400, "The body is empty: it must be JSON")
            return
        if scope["method"] != "HEAD":
            await self._inner(scope, _replayed(body, receive), answer)
            return
        asked = {**scope, "method": "GET"}  # the response to GET, whose body is left out on the way back
        try:
            await self._inner(asked, _replayed(body, receive), answer)
        finally:
            scope["route"] = asked.get("route")

    def _check(self, scope: Scope) -> None:
        headers, rules, path = Headers(scope=scope), self._rules, scope["path"]
        if twice := next((name for name in _SINGLE if len(headers.getlist(name)) > 1), None):
            raise _Refused(400, f"The header {twice} was sent twice")
        if "transfer-encoding" in headers and "content-length" in headers:
            raise _Refused(400, "Both Content-Length and Transfer-Encoding were sent: its end is unclear")
        if not self._is_here(headers.get("host", "")):
            raise _Refused(421, "The Host header does not name this server (--allow-host permits other names)")
        origin = headers.get("origin")
        if (origin is not None and _netloc(origin) != headers.get("host", "").lower()) or (
            headers.get("sec-fetch-site") in ("cross-site", "same-site") and scope["method"] not in ("GET", "HEAD")
        ):
            raise _Refused(403, "Pages of another origin may not ask this server")
        watched = path in ("/healthz", "/readyz", "/metrics")
        if self.draining and not watched:
            raise _Refused(503, "The server is shutting down", **{"Retry-After": "5"})
        if self._open > self._limits.open_requests and not watched:
            raise _Refused(503, "Too many requests are open", **{"Retry-After": "1"})
        if rules.token is not None and path not in rules.public:
            given = headers.get("authorization", "")
            scheme, _, token = given.partition(" ")
            right = hmac.compare_digest(token.strip().encode("latin-1"), rules.token.encode())
            if scheme.lower() != "bearer" or not right:
                raise _Refused(
                    401, "Send the server's token: Authorization: Bearer TOKEN", **{"WWW-Authenticate": "Bearer"}
                )
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if path == EXPAND and scope["method"] == "POST" and kind != "application/json":
            raise _Refused(415, "The body must be JSON: send Content-Type: application/json")
        length = headers.get("content-length", "")
        if length.isdecimal() and int(length) > self._limits.body:
            raise self._too_large()

    def _is_here(self, header: str) -> bool:
        """Whether a Host header names this server."""
        rules, host = self._rules, host_in(header)
        return rules.hosts is None or host in rules.hosts or (rules.addresses and is_address(host))

    def _too_large(self) -> _Refused:
        return _Refused(
            413, f"The body is larger than {self._limits.body:,} bytes; send fewer or shorter texts at a time"
        )

    async def _body(self, scope: Scope, receive: Receive) -> bytes:
        parts, size = [], 0
        try:
            async with asyncio.timeout(self._limits.seconds_to_send) as deadline:
                self._arriving.add(deadline)
                try:
                    while True:
                        message = await receive()
                        if message["type"] == "http.disconnect":
                            raise _Left
                        parts.append(message.get("body", b""))
                        size += len(parts[-1])
                        if size > self._limits.body:
                            raise self._too_large()
                        if not message.get("more_body", False):
                            return b"".join(parts)
                finally:
                    self._arriving.discard(deadline)
        except TimeoutError:
            if self.draining:
                raise _Refused(503, "The server is shutting down", **{"Retry-After": "5"}) from None
            seconds = self._limits.seconds_to_send
            raise _Refused(408, f"The body did not arrive within {seconds:g} seconds") from None

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        path = scope["path"]
        named = getattr(scope.get("route"), "path_format", path)
        route = named if named in self._routes else "page" if path in self._rules.public else "other"
        method = scope["method"] if scope["method"] in _METHODS else "other"
        self._metrics.requests.labels(method, route, str(status)).inc()
        self._metrics.seconds.labels(route).observe(seconds)
        logger.info("%s %s %d %.0f ms", method, route, status, 1000 * seconds)


class _Answer:
    """The response channel to the client: adds `HEADERS`, records the status, and leaves out the body for HEAD."""

    def __init__(self, send: Send, *, with_body: bool = True) -> None:
        self._send, self._with_body = send, with_body
        self.status: int | None = None

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(raw=list(message.get("headers", ())))
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
            message = {**message, "headers": headers.raw}
        elif not self._with_body:
            message = {**message, "body": b""}
        await self._send(message)

    async def problem(self, status: int, detail: str, *, more_body: bool = False, **headers: str) -> None:
        """Send a `Problem`."""
        body = json.dumps({"detail": detail}).encode()
        lines = {"Content-Type": "application/json", "Content-Length": str(len(body)), **headers}
        raw = [(name.lower().encode(), value.encode()) for name, value in lines.items()]
        await self({"type": "http.response.start", "status": status, "headers": raw})
        await self({"type": "http.response.body", "body": body, "more_body": more_body})

    async def refuse(self, refusal: _Refused, receive: Receive) -> None:
        """Send a refusal, discard what else the client sends, and close the connection."""
        await self.problem(refusal.status, refusal.detail, more_body=True, **refusal.headers, Connection="close")
        left = _DISCARDED
        try:
            async with asyncio.timeout(_SECONDS_TO_DISCARD):
                while left > 0:
                    message = await receive()
                    left -= len(message.get("body", b""))
                    if message["type"] == "http.disconnect" or not message.get("more_body", False):
                        break
        except TimeoutError:
            pass
        await self({"type": "http.response.body"})


def _replayed(body: bytes, receive: Receive) -> Receive:
    """A `receive` that returns the body, and then further events, such as a disconnect."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return messages.pop() if messages else await receive()

    return replay


def host_in(header: str) -> str:
    """The host in a Host header, normalised by `plain_host`; "" if it is malformed."""
    found = _HOST.fullmatch(header)
    return plain_host(found[1]) if found else ""


def plain_host(host: str) -> str:
    """Normalise a host for comparison: a name in lower case, an address in its shortest form, without brackets."""
    host = host.removeprefix("[").removesuffix("]")
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host.lower()
    return str(getattr(address, "ipv4_mapped", None) or address)


def is_address(host: str) -> bool:
    """Whether a host is an IP address, rather than a name."""
    try:
        return bool(ipaddress.ip_address(host))
    except ValueError:
        return False


def _netloc(origin: str) -> str:
    """Host and port of an Origin header; "" if it is malformed or "null"."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""
