"""Which pull request was a run of, and how does it get its one comment?

Comes in: a repository, a token, what a run says of the commit that it was of. Goes out: a pull request's number, a
comment that is written or edited. Talks to GitHub's REST API and nobody else.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import httpx

from perfgate.errors import StackFailed

API_VERSION: Final = "2022-11-28"
TIMEOUT_S: Final = 30.0
#: The most that the API gives at once.
PAGE: Final = 100
#: More than anybody reads, and an end.
PAGES_MAX: Final = 50
#: Who comments with a workflow's own token.
BOT: Final = "github-actions[bot]"


@dataclass(frozen=True, slots=True)
class Head:
    """What a run was of.

    Args:
        owner: of the repository that the branch is in; of a fork, its owner.
        branch: by name.
        sha: of the commit.
    """

    owner: str
    branch: str
    sha: str


class PullRequests:
    """The pull requests of a repository; a context, which closes the connection.

    Args:
        api_url: `https://api.github.com`.
        repository: `owner/name`.
        token: may write comments.
    """

    def __init__(self, api_url: str, repository: str, token: str) -> None:
        self._repository = repository
        self._client = httpx.Client(
            base_url=f"{api_url}/repos/{repository}/",
            headers={
                "Authorization": f"Bearer {token}",
                "Accept": "application/vnd.github+json",
                "X-GitHub-Api-Version": API_VERSION,
            },
            timeout=TIMEOUT_S,
        )

    def __enter__(self) -> "PullRequests":
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def at(self, head: Head) -> list[int]:
        """The open ones whose newest commit that is.

        By branch, since GitHub's list of a run's pull requests is empty where the branch is a fork's; the commit
        decides, so that a run of an older commit finds none.

        Raises:
            StackFailed: GitHub cannot be reached, or refuses.
        """
        asked = {"state": "open", "head": f"{head.owner}:{head.branch}"}
        return [int(found["number"]) for found in self._all("pulls", asked) if found["head"]["sha"] == head.sha]

    def comment(self, number: int, marker: str, text: str) -> str:
        """Write a comment, or edit the one that there is.

        Args:
            number: of the pull request.
            marker: begins the text of the comment to edit, which only a workflow can have written.
            text: begins with the marker.

        Returns:
            What was done, in words.

        Raises:
            StackFailed: GitHub cannot be reached, or refuses.
        """
        for found in self._all(f"issues/{number}/comments", {}):
            by = (found["user"] or {}).get("login")  # of somebody who is gone, nothing
            if by == BOT and (found["body"] or "").startswith(marker):
                self._asked("PATCH", f"issues/comments/{int(found['id'])}", json={"body": text})
                return f"edited the comment of pull request {number}"
        self._asked("POST", f"issues/{number}/comments", json={"body": text})
        return f"wrote a comment to pull request {number}"

    def _all(self, path: str, asked: dict[str, str]) -> Iterator[dict[str, Any]]:
        for page in range(1, PAGES_MAX + 1):
            found = self._asked("GET", path, params={**asked, "per_page": str(PAGE), "page": str(page)}).json()
            yield from found
            if len(found) < PAGE:
                return

    def _asked(self, method: str, path: str, **options: Any) -> httpx.Response:
        try:
            return self._client.request(method, path, **options).raise_for_status()
        except httpx.HTTPStatusError as error:
            said = f"status {error.response.status_code}: {error.response.text[:200]}"
        except httpx.HTTPError as error:
            said = f"{type(error).__name__}: {error}"
        raise StackFailed(
            f"GitHub, {method} {self._repository} {path}: {said}; the workflow needs `pull-requests: write`, and the "
            "run can be started again"
        )
