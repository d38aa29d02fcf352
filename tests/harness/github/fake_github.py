"""GitHub's REST API as far as comments of pull requests go, on loopback."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

REPOSITORY: Final = "team/gateway"
TOKEN: Final = "of-the-job"
BOT: Final = "github-actions[bot]"


@dataclass(slots=True)
class FakeGitHub:
    """What it holds, and what it was asked for.

    Attributes:
        pulls: open pull requests, as `pull` makes them.
        comments: of pull request 7, as `comment` makes them.
        asked: method and path of every request.
        refuses: answers 403 to what writes.
        url: of the API.
    """

    pulls: list[dict[str, Any]] = field(default_factory=list)
    comments: list[dict[str, Any]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    refuses: bool = False
    url: str = ""

    def answer(self, method: str, target: str, body: Any) -> tuple[int, Any]:
        """Status and JSON for a request."""
        path, query = urlsplit(target).path.removeprefix(f"/repos/{REPOSITORY}/"), parse_qs(urlsplit(target).query)
        self.asked.append(f"{method} {path}")
        if self.refuses and method != "GET":
            return 403, {"message": "Resource not accessible by integration"}
        start = (int(query.get("page", ["1"])[0]) - 1) * int(query.get("per_page", ["30"])[0])
        page = slice(start, start + int(query.get("per_page", ["30"])[0]))
        match method, path:
            case "GET", "pulls":
                (label,) = query["head"]
                return 200, [pull for pull in self.pulls if pull["head"]["label"] == label][page]
            case "GET", "issues/7/comments":
                return 200, self.comments[page]
            case "POST", "issues/7/comments":
                self.comments.append(comment(1_000 + len(self.comments), body["body"]))
                return 201, self.comments[-1]
            case "PATCH", _ if path.startswith("issues/comments/"):
                (edited,) = (each for each in self.comments if each["id"] == int(path.rpartition("/")[2]))
                edited["body"] = body["body"]
                return 200, edited
        return 404, {"message": "Not Found"}


def pull(number: int, label: str, sha: str) -> dict[str, Any]:
    """An open pull request; `label` is `owner:branch`."""
    return {"number": number, "head": {"label": label, "sha": sha}}


def comment(number: int, body: str | None, by: str | None = BOT) -> dict[str, Any]:
    """A comment; `by` is None where its author is gone."""
    return {"id": number, "body": body, "user": {"login": by} if by is not None else None}


@contextmanager
def served(github: FakeGitHub) -> Iterator[FakeGitHub]:
    """Serve it while the context is open."""

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            body = json.loads(self.rfile.read(length)) if length else None
            status, content = 401, {"message": "Bad credentials"}
            if self.headers["Authorization"] == f"Bearer {TOKEN}":
                status, content = github.answer(self.command, self.path, body)
            text = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = do_PATCH = _answer  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        github.url = f"http://127.0.0.1:{server.server_address[1]}"
        yield github
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
