"""A schema registry over HTTP, as much of it as serdes use, that can be told to fail."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

import pytest

from ottla.serdes import SchemaRegistry


class RegistryServer(ThreadingHTTPServer):
    """Schemas by id, subjects as lists of ids. `status` other than 200 is what every request is answered with."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.schemas: list[dict[str, Any]] = []
        self.subjects: dict[str, list[int]] = {}
        self.status = 200
        self.requests: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def registry(self) -> SchemaRegistry:
        return SchemaRegistry(self.url)

    def answer(self, method: str, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        self.requests.append(f"{method} {path}")
        if self.status != 200:
            return self.status, {"error_code": self.status, "message": "as the test says"}
        match [unquote(part) for part in path.split("?")[0].strip("/").split("/")]:
            case ["schemas", "ids", number] if 0 < int(number) <= len(self.schemas):
                return 200, self.schemas[int(number) - 1]
            case ["subjects", subject, "versions", version] if int(version) <= len(self.subjects.get(subject, ())):
                number = self.subjects[subject][int(version) - 1]
                return 200, {"subject": subject, "version": int(version), "id": number} | self.schemas[number - 1]
            case ["subjects", subject, *versions] if method == "POST":
                if body not in self.schemas and versions:
                    self.schemas.append(body)
                if body in self.schemas:
                    number = self.schemas.index(body) + 1
                    known = self.subjects.setdefault(subject, [])
                    if versions and number not in known:
                        known.append(number)
                    if number in known:
                        return 200, {"subject": subject, "id": number, "version": known.index(number) + 1} | body
        return 404, {"error_code": 40403, "message": "not found"}


class _Handler(BaseHTTPRequestHandler):
    server: RegistryServer

    def do_GET(self) -> None:
        self._answer({})

    def do_POST(self) -> None:
        self._answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

    def _answer(self, body: dict[str, Any]) -> None:
        status, answer = self.server.answer(self.command, self.path, body)
        data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Says nothing: the test looks at `requests`."""


@pytest.fixture
def registry_server() -> Iterator[RegistryServer]:
    with RegistryServer() as server:
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        serving.start()
        yield server
        server.shutdown()
        serving.join()
