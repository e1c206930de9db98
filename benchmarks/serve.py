"""The server under load: latencies with 1, 8 and 32 clients, then a mixed load with bad, slow and vanishing clients.

The server is a process of its own; the clients are threads of this one, so they share the machine's cores with it.
Texts are from the development half of the embedded clinical notes, whole and cut into sentences. Each answer is
compared with the one that its text got alone. The mixed load ends with a SIGTERM in its midst: what had been taken must
still be answered.

    python benchmarks/serve.py                        # the reader, some six minutes
    python benchmarks/serve.py runs/demo --minutes 10
    python benchmarks/serve.py --only mixed --minutes 10
    python benchmarks/serve.py --tiny                 # a random Llama of two layers: the server's own work

Result: Markdown on stdout; progress on stderr.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import random
import re
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import psutil
from common import clinical_texts, count_option, machine, progress, table, tiny_llama

from medalist.data.embedded import reader
from medalist.expansion.expander import Expander
from medalist.models.base import EMBEDDED, BaseIdentity
from medalist.models.load import LoadedModel, load_base
from medalist.serving.interface import Limits
from medalist.serving.server import Address, serve
from medalist.trees.prompt import PromptSettings

CLIENTS = (1, 8, 32)
SENTENCE = 60
"""Characters after which a note is cut for a request of a sentence."""
MIB = 2**20
Answer = list[list[str]]
"""Per short form, the alternatives in order."""


def tiny_expander() -> Expander:
    """A random Llama of two layers with the embedded model's tokenizer, and the reader's inventory and windows."""
    tokenizer = load_base(EMBEDDED).tokenizer
    loaded = LoadedModel(
        model=tiny_llama(tokenizer),
        tokenizer=tokenizer,
        identity=BaseIdentity(id="benchmarks/tiny", revision=None, source="benchmarks/tiny", sha256="0" * 64),
        attention="sdpa",
        max_depth=8192,
        tree_error=0.0,
    )
    settings = PromptSettings(window=reader.WINDOW, max_nodes=reader.MAX_NODES)
    return Expander(loaded, reader.inventory(), settings, any_case=True)


@dataclass
class Server:
    """The server's process."""

    process: subprocess.Popen[str]
    port: int
    log: list[str] = field(default_factory=list)

    def connect(self) -> http.client.HTTPConnection:
        """A connection of its own."""
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=600)

    def resident(self) -> float:
        """Resident memory, MiB."""
        return psutil.Process(self.process.pid).memory_info().rss / MIB

    def metric(self, name: str) -> float:
        """A value of the server's metrics."""
        connection = self.connect()
        connection.request("GET", "/metrics")
        page = connection.getresponse().read().decode()
        connection.close()
        found = re.search(rf"^{name} (\S+)$", page, re.MULTILINE)
        assert found is not None
        return float(found[1])


@contextmanager
def started(run: str | None, tiny: bool) -> Iterator[Server]:
    """A server that listens; killed at the end if it still runs."""
    command = [sys.executable, __file__, "--server", *([run] if run else []), *(["--tiny"] if tiny else [])]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    server, listening = Server(process, 0), threading.Event()

    def read() -> None:
        assert process.stderr is not None
        for line in process.stderr:
            server.log.append(line)
            if found := re.search(r"Serving on http://\S+:(\d+)", line):
                server.port = int(found[1])
                listening.set()
        listening.set()

    threading.Thread(target=read, daemon=True).start()
    try:
        listening.wait()
        if not server.port:
            sys.exit("".join(server.log))
        yield server
    finally:
        process.kill()
        process.wait()


def ask(connection: http.client.HTTPConnection, text: str) -> tuple[int, Answer]:
    """Status and answer for one text."""
    body = json.dumps({"text": text})
    connection.request("POST", "/v1/expand", body, {"Content-Type": "application/json"})
    response = connection.getresponse()
    content = response.read()
    if response.status != 200:
        return response.status, []
    return 200, answer_of(json.loads(content))


def answer_of(content: dict[str, Any]) -> Answer:
    [result] = content["results"]
    return [[name["long_form"] for name in one["alternatives"]] for one in result["expansions"]]


def latencies(server: Server, texts: list[str], alone: list[Answer], clients: int, seconds: float) -> list[object]:
    """A row of the first table: what `clients` clients see that ask one note after another for some seconds."""
    found: list[float] = []
    passes, read = server.metric("medalist_pass_texts_count"), server.metric("medalist_texts_total")
    end = time.perf_counter() + seconds

    def client(number: int) -> None:
        draw, connection = random.Random(number), server.connect()
        while (began := time.perf_counter()) < end:
            at = draw.randrange(len(texts))
            status, answer = ask(connection, texts[at])
            found.append(time.perf_counter() - began)
            assert status == 200 and answer == alone[at], f"status {status}"
        connection.close()

    began = time.perf_counter()
    with ThreadPoolExecutor(clients) as threads:
        list(threads.map(client, range(clients)))
    took = time.perf_counter() - began
    per_pass = (server.metric("medalist_texts_total") - read) / (server.metric("medalist_pass_texts_count") - passes)
    cuts = statistics.quantiles(found, n=100)
    return [clients, len(found), len(found) / took, per_pass, *(f"{1000 * cuts[at - 1]:,.0f}" for at in (50, 95, 99))]


class Mixed:
    """The mixed load: clients of each kind until `stop`; what happened to their requests."""

    def __init__(self, server: Server, texts: list[str], alone: list[Answer]) -> None:
        self.server, self.texts, self.alone = server, texts, alone
        self.stop, self.draining = threading.Event(), threading.Event()
        self.counts: Counter[str] = Counter()
        self.memory: list[float] = []

    def kinds(self) -> list[Callable[[random.Random], str]]:
        """What each client does."""
        return [self.good, self.good, self.good, self.good, self.drip, self.bad, self.half, self.leaves]

    def run(self, seconds: float) -> int:
        """Load for some seconds, then SIGTERM while it goes on; the server's exit code."""
        with ThreadPoolExecutor(16) as threads:
            work = [threads.submit(self.client, kind, number) for number, kind in enumerate(self.kinds())]
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                self.memory.append(self.server.resident())
                time.sleep(0.5)
            self.draining.set()
            self.server.process.send_signal(signal.SIGTERM)
            code = self.server.process.wait(120)
            self.stop.set()
            for one in work:
                one.result()
        return code

    def client(self, kind: Callable[[random.Random], str], number: int) -> None:
        """Do one thing over and over."""
        draw = random.Random(number)
        while not self.stop.is_set():
            try:
                what = kind(draw)
            except (OSError, http.client.HTTPException):
                if not self.draining.is_set():
                    self.counts["LOST without an answer"] += 1
                    continue
                self.counts["refused or closed after SIGTERM"] += 1
                time.sleep(0.2)
                continue
            self.counts[what] += 1

    def good(self, draw: random.Random) -> str:
        """Ask, and wait for the answer."""
        at = draw.randrange(len(self.texts))
        connection = self.server.connect()
        try:
            status, answer = ask(connection, self.texts[at])
        finally:
            connection.close()
        return self.judged(at, status, answer)

    def judged(self, at: int, status: int, answer: Answer) -> str:
        """What became of a good request."""
        if status == 200:
            if answer != self.alone[at]:
                return "WRONG"
            return "right after SIGTERM" if self.draining.is_set() else "right"
        if status == 503:
            return "503 after SIGTERM" if self.draining.is_set() else "503, queue full"
        return f"UNEXPECTED {status}"

    def drip(self, draw: random.Random) -> str:
        """Ask, a few bytes at a time."""
        at = draw.randrange(len(self.texts))
        body = json.dumps({"text": self.texts[at]}).encode()
        with self.raw() as connection:
            connection.sendall(head(len(body)))
            for start in range(0, len(body), 64):
                connection.sendall(body[start : start + 64])
                time.sleep(0.01)
            response = http.client.HTTPResponse(connection, method="POST")
            response.begin()
            content = response.read()
        return self.judged(at, response.status, answer_of(json.loads(content)) if response.status == 200 else [])

    def bad(self, draw: random.Random) -> str:
        """Send a body that must be refused."""
        body, right = draw.choice(
            [(b"{", 400), (b'{"texts": "x"}', 422), (b'{"text": "' + b"x" * 100_001 + b'"}', 413), (b"x" * 2**21, 413)]
        )
        connection = self.server.connect()
        try:
            connection.request("POST", "/v1/expand", body, {"Content-Type": "application/json"})
            status = connection.getresponse().status
        finally:
            connection.close()
        time.sleep(0.02)
        return f"{status} for a bad one" if status == right else self.judged(0, status, [])

    def half(self, draw: random.Random) -> str:
        """Leave in the middle of a body."""
        with self.raw() as connection:
            connection.sendall(head(5000) + b'{"text": "')
            time.sleep(draw.random() / 5)
        return "left halfway"

    def leaves(self, draw: random.Random) -> str:
        """Leave before the answer."""
        body = json.dumps({"text": draw.choice(self.texts)}).encode()
        with self.raw() as connection:
            connection.sendall(head(len(body)) + body)
            time.sleep(draw.random() / 5)
        return "left before the answer"

    def raw(self) -> socket.socket:
        """A socket to the server."""
        return socket.create_connection(("127.0.0.1", self.server.port), timeout=600)


def head(length: int) -> bytes:
    lines = (
        "POST /v1/expand HTTP/1.1",
        "Host: localhost",
        "Content-Type: application/json",
        f"Content-Length: {length}",
    )
    return "\r\n".join([*lines, "", ""]).encode()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", nargs="?", help="a run's folder or Hub id (default: the reader)")
    parser.add_argument("--tiny", action="store_true", help="a random Llama of two layers instead")
    parser.add_argument("--minutes", type=float, default=1.0, help="of mixed load (default: 1)")
    count_option(parser, "--seconds", 20, "per number of clients")
    count_option(parser, "--notes", 12, "how many notes; twice as many sentences")
    parser.add_argument("--only", choices=("latencies", "mixed"), help="one half of it (default: both)")
    parser.add_argument("--server", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.server:
        load = tiny_expander if options.tiny else lambda: Expander.load(options.run)
        serve(load, Address(port=0), Limits(), drain_seconds=60)
        return
    sizes = {"sentence": clinical_texts(SENTENCE)[: 2 * options.notes], "note": clinical_texts()[: options.notes]}
    with started(options.run, options.tiny) as server:
        progress(f"Serving as process {server.process.pid}; {os.cpu_count()} cores")
        connection = server.connect()
        alone = {name: [ask(connection, text)[1] for text in texts] for name, texts in sizes.items()}
        connection.close()
        rows = []
        for name, clients in product(sizes, CLIENTS) if options.only != "mixed" else ():
            rows.append([name, *latencies(server, sizes[name], alone[name], clients, options.seconds)])
            progress(f"{name}: {clients} clients done")
        mixed = Mixed(server, sizes["note"], alone["note"])
        code = mixed.run(60 * options.minutes) if options.only != "latencies" else 0
        log = "".join(server.log)
    quoted = [text for texts in sizes.values() for text in texts if text[:30] in log]
    model = "a random Llama of two layers" if options.tiny else options.run or "the reader"
    described = [
        f"one of {len(texts)} {name}s of {min(map(len, texts))} to {max(map(len, texts)):,} characters with "
        f"{sum(map(len, alone[name])) / len(texts):.0f} short forms on average"
        for name, texts in sizes.items()
    ]
    print(f"## Serving\n\n{machine()}\n")
    print(
        f"`medalist serve` with {model}; a request is {' or '.join(described)}, from the clinical notes (development "
        f"half); clients on the same machine. Texts quoted in the log: {len(quoted)}."
    )
    if rows:
        print(
            f"\nEach client asks again as soon as it is answered, for {options.seconds} s. Every answer was the one "
            "that its text got alone.\n"
        )
        print(
            table(
                ["request", "clients", "requests", "requests/s", "notes per pass", "p50, ms", "p95, ms", "p99, ms"],
                rows,
            )
        )
    if memory := mixed.memory:
        print(
            f"\nMixed load for {60 * options.minutes:.0f} s by eight clients (four ask, one drips its body, one sends "
            "wrong bodies, one leaves halfway, one before its answer), then SIGTERM in its midst: "
            + ", ".join(f"{count:,} {what}" for what, count in sorted(mixed.counts.items()))
            + f". Exit code {code}. Resident memory, MiB: {memory[0]:.0f} at the start, {memory[len(memory) // 2]:.0f} "
            f"halfway, {memory[-1]:.0f} at the end, at most {max(memory):.0f}."
        )
    wrong = [what for what in mixed.counts if what.isupper() or what.split()[0].isupper()]
    if wrong or code or quoted:
        sys.exit(f"Not as it must be: {', '.join(wrong) or 'see above'}")


if __name__ == "__main__":
    main()
