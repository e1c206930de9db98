"""The server process: its address and token, how it starts, and how it shuts down without losing a request."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import logging
import os
import signal
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from ..expansion.expander import Expander
from .app import create_app
from .gate import HEADERS, Gate, Rules, host_in, is_address, plain_host
from .interface import Limits
from .quiet import log_to_stderr, logger

TOKEN_VARIABLE = "MEDALIST_TOKEN"
_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
_LEAST_TOKEN = 16
_MOST_TOKEN = 4096
"""Maximum size in bytes of the token's file, which could be an endless device."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Address:
    """Where a server listens, and who may send requests."""

    host: str = "127.0.0.1"
    port: int = 8000
    """0: any free port."""
    token_file: Path | None = None
    """A file with the token; None: the environment variable `MEDALIST_TOKEN`, if it is set."""
    no_token: bool = False
    """Accept requests from other machines without a token."""
    allowed_hosts: Sequence[str] = ()
    """Names allowed in the Host header in addition to "localhost" and its addresses. If empty, with a token and not on
    loopback, any is allowed. Without a token, any IP address and this machine's name are also allowed."""

    def rules(self) -> Rules:
        """The rules that follow from the address and the token.

        Raises:
            ValueError: the token is too short or not printable ASCII, or there is none and the server would be
                reachable from other machines; or the address or an allowed host is malformed.
            OSError: the token's file cannot be read.
        """
        if not self.host.strip():
            raise ValueError("--host is empty: name an address to listen at, such as 127.0.0.1")
        token = self._token()
        loopback = is_loopback(self.host)
        if token is None and not loopback and not self.no_token:
            raise ValueError(
                f"{self.host} can be reached from other machines, so the server needs a token: put one into a file and "
                f"name it with --token-file, or set {TOKEN_VARIABLE}; or say --no-token if anyone there may ask"
            )
        names = {_allowed(name) for name in self.allowed_hosts}
        open_to_all = token is None and not loopback
        if loopback or open_to_all:  # otherwise a web page could use a name of its own (DNS rebinding)
            names.add(plain_host(self.host))
        if open_to_all:
            names.add(socket.gethostname().lower())
        return Rules(token=token, hosts=frozenset(names | _LOOPBACK_NAMES) if names else None, addresses=open_to_all)

    def _token(self) -> str | None:
        if self.token_file is None:
            where, token = TOKEN_VARIABLE, os.environ.get(TOKEN_VARIABLE)
        else:
            where, token = str(self.token_file), _token_in(self.token_file)
        if token is None:
            return None
        if self.no_token:
            raise ValueError(f"--no-token was given, and yet {where} holds one: leave one of them away")
        if len(token) < _LEAST_TOKEN or not (token.isascii() and token.isprintable()) or " " in token:
            raise ValueError(
                f"The token in {where} must have at least {_LEAST_TOKEN} printable ASCII characters without spaces; "
                "`openssl rand -hex 32` makes a good one"
            )
        return token

    def bound(self) -> socket.socket:
        """A socket that listens at this address; clients that connect wait until the server is ready.

        Raises:
            OSError: the address is in use or does not belong to this machine.
        """
        try:
            family, *_, where = socket.getaddrinfo(plain_host(self.host), self.port, type=socket.SOCK_STREAM)[0]
            bound = socket.socket(family)
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind(where)
            bound.listen()  # two servers can be bound to one address until one of them listens
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise OSError(
                f"Cannot listen at {self.host}, port {self.port}: {reason}. Choose another with --port."
            ) from None
        return bound


def _token_in(path: Path) -> str:
    with path.open("rb") as file:
        content = file.read(_MOST_TOKEN + 1)
    if len(content) > _MOST_TOKEN:
        raise ValueError(f"{path} has more than {_MOST_TOKEN:,} bytes: put the token alone into a file")
    return content.decode(errors="replace").strip()


def _allowed(name: str) -> str:
    """A name given with --allow-host, normalised like that of a Host header: without a port."""
    host = plain_host(name) if is_address(name) else host_in(name.strip())
    if not host or "*" in host:
        raise ValueError(
            f"--allow-host is {name!r}, which no Host header can have: name a host alone, such as notes.example"
        )
    return host


def is_loopback(host: str) -> bool:
    """Whether a host can only be reached from this machine; the only name that counts is "localhost"."""
    try:
        return ipaddress.ip_address(plain_host(host)).is_loopback
    except ValueError:
        return host.lower() == "localhost"


class _Protocol(H11Protocol):
    """uvicorn's protocol, which also closes connections that send no request in time or stop receiving their answer.

    It also answers what is not HTTP, which never reaches the gate, with the gate's headers and counts it there.
    """

    def __init__(self, *arguments: Any, limits: Limits, gate: Gate, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._limits, self._gate = limits, gate

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        super().connection_made(transport)
        self._hurry: asyncio.TimerHandle | None = None
        self._stalled: asyncio.TimerHandle | None = None
        self._expect_request()

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in (self._hurry, self._stalled):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._expect_request()
        super().data_received(data)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stalled = self.loop.call_later(self._limits.seconds_to_send, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._stalled is not None:
            self._stalled.cancel()

    def send_400_response(self, msg: str) -> None:
        self._gate.count_unreadable()
        body = json.dumps({"detail": "This is not a valid HTTP/1.1 request"}).encode()
        lines = {**HEADERS, "Content-Type": "application/json", "Content-Length": str(len(body)), "Connection": "close"}
        headers = [(name.lower().encode(), value.encode()) for name, value in lines.items()]
        for event in (
            h11.Response(status_code=400, headers=headers, reason=b"Bad Request"),
            h11.Data(data=body),
            h11.EndOfMessage(),
        ):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def _expect_request(self) -> None:
        if self._hurry is None and self._asks_nothing():
            self._hurry = self.loop.call_later(self._limits.seconds_to_ask, self._too_late)

    def _too_late(self) -> None:
        self._hurry = None
        if self._asks_nothing():
            self.transport.abort()

    def _asks_nothing(self) -> bool:
        return self.cycle is None or self.cycle.response_complete


class _Server(uvicorn.Server):
    """uvicorn's server, which refuses new requests after the signal and ends with exit code 0."""

    def __init__(self, config: uvicorn.Config, gate: Gate) -> None:
        super().__init__(config)
        self._gate = gate
        self._loop: asyncio.AbstractEventLoop | None = None

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        await super().serve(sockets)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for bound in sockets or ():
            host, port = bound.getsockname()[:2]
            logger.info("Serving on http://%s:%d", f"[{host}]" if ":" in host else host, port)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._gate.drain)
        super().handle_exit(sig, frame)


def serve(load: Callable[[], Expander], address: Address, limits: Limits, drain_seconds: int = 30) -> None:
    """Serve until SIGTERM or SIGINT; then refuse new requests, answer those already accepted, and return.

    If that takes longer than `drain_seconds`, the process ends with exit code 1.

    Args:
        load: loads the expander; called once the address is known to be free.
        address: where to listen, and who may send requests.
        limits: limits on each request, and on all of them together.
        drain_seconds: maximum time to wait for answers at the end.

    Raises:
        ValueError, OSError: as `Address.rules`, `Address.bound` and `load`.
    """
    rules, bound = address.rules(), address.bound()  # fail before a model is loaded
    with bound:
        _serve_at(bound, create_app(load(), rules=rules, limits=limits), limits, drain_seconds)


def _serve_at(bound: socket.socket, gate: Gate, limits: Limits, drain_seconds: int) -> None:
    log_to_stderr()
    config = uvicorn.Config(
        gate,
        http=partial(_Protocol, limits=limits, gate=gate),  # type: ignore[arg-type]  # declared a class, but only called
        loop="asyncio",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,  # it would log paths, and a path may contain a short form
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=drain_seconds,
    )
    _Server(config, gate).run(sockets=[bound])
    if gate.cut_off:
        logger.error("Ended before the last requests were answered")
    if gate.cut_off or gate.still_reading:
        logging.shutdown()
        os._exit(int(gate.cut_off))  # a normal exit could abort: it would end the thread inside torch
