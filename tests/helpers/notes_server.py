"""Serves a tiny model from a process of its own, and talks to it by raw sockets: `python notes_server.py MODEL LIMITS
[DRAIN]`.

LIMITS is a JSON object with fields of `Limits`, DRAIN the seconds to answer what was taken.
"""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from medalist.data.inventory import Inventory
from medalist.expansion.expander import Expander
from medalist.models.load import load_base

INVENTORY = Inventory.of(
    [
        ("RA", "rheumatoid arthritis", 5, None),
        ("RA", "right atrium", 2, "C0225844"),
        ("RA", "room air", 1, None),
        ("CT", "computed tomography", 0, None),
        ("CT", "contractions", 0, None),
        ("N/V", "nausea and vomiting", 0, None),
    ]
)


def small_expander(model: Path | str) -> Expander:
    return Expander(load_base(str(model)), INVENTORY)


@dataclass
class Process:
    """A server in a process of its own."""

    started: subprocess.Popen[str]
    port: int = 0
    log: list[str] = field(default_factory=list)

    def connect(self, timeout: float = 30) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=timeout)

    def ask(self, body: object, **headers: str) -> tuple[int, bytes]:
        """Send one request to /v1/expand on a connection of its own: status and body."""
        with self.connect() as connection:
            connection.sendall(request(body, **headers))
            return response(connection)

    def stop(self) -> int:
        """Send SIGTERM and wait; the exit code."""
        self.started.send_signal(signal.SIGTERM)
        return self.started.wait(60)

    def text(self) -> str:
        """Everything that it has printed."""
        return "".join(self.log)


def request(body: object, **headers: str) -> bytes:
    """A request to /v1/expand."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = {"Host": "localhost", "Content-Type": "application/json", "Content-Length": str(len(content)), **headers}
    head = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in lines.items())
    return f"POST /v1/expand HTTP/1.1\r\n{head}\r\n".encode() + content


def response(connection: socket.socket) -> tuple[int, bytes]:
    """Read one response with a Content-Length: status and body; status 0 if the connection was closed before it."""
    received = b""
    while b"\r\n\r\n" not in received:
        more = connection.recv(65536)
        if not more:
            return 0, received
        received += more
    head, _, body = received.partition(b"\r\n\r\n")
    length = int(re.search(rb"(?i)content-length: (\d+)", head)[1])
    while len(body) < length:
        body += connection.recv(65536)
    return int(head.split()[1]), body


@contextmanager
def running(*command: object, environment: Mapping[str, str] | None = None) -> Iterator[Process]:
    """A server, from the moment that it listens; killed at the end if it still runs."""
    started = subprocess.Popen(
        [sys.executable, *map(str, command)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
    )
    process = Process(started)
    listening = threading.Event()

    def read() -> None:
        for line in started.stdout:
            process.log.append(line)
            if found := re.search(r"Serving on http://\S+:(\d+)", line):
                process.port = int(found[1])
                listening.set()
        listening.set()

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        assert listening.wait(120) and process.port, process.text()
        yield process
    finally:
        started.kill()
        started.wait(30)
        reader.join(30)


if __name__ == "__main__":
    import torch

    from medalist.serving.interface import Limits
    from medalist.serving.server import Address, serve

    torch.set_num_threads(1)
    model, values, *drain = sys.argv[1:]
    serve(lambda: small_expander(model), Address(port=0), Limits(**json.loads(values)), *map(int, drain))
