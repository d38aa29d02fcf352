"""What can be asked to be judged: a release, a checkout, a git reference, a gateway that runs already, or Portkey?

Comes in: what a user typed. Goes out: a `Source`, checked as far as can be without starting or installing anything.

    1.106.2           Release      of the package index
    path:../litellm   Checkout     a folder with LiteLLM's source, as it is now, edited or not
    git:URL@REF       GitRef       a branch, a tag or a commit of a repository, near or far
    url:http://…      RunningUrl   a gateway that somebody else started
    portkey:1.15.2    PortkeyRelease   of another product, which LiteLLM is compared with

`str()` of each is how it stands in a table; `option_text` is what to type to ask for it.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from perfgate.errors import BadInput
from perfgate.load.endpoint import Endpoint
from perfgate.stack import git
from perfgate.stack.git import FULL_COMMIT, GitFailed
from perfgate.stack.releases import PORTKEY_RELEASE, checked_release
from perfgate.stack.snapshots import check_is_litellm, content_of, is_git_checkout, members_of

#: How much of a hash people are shown, as git itself does.
SHOWN_HASH_CHARS: Final = 7

_FORMS: Final = (
    f"a release such as 1.106.2, path:FOLDER, git:URL@REF, url:http://HOST:PORT or portkey:{PORTKEY_RELEASE}"
)
#: `host:path` and `user@host:path`, which git reads as an address of ssh.
_SSH_SHORT: Final = re.compile(r"[^/:]+:(?!//)")
_SECRET_IN_ADDRESS: Final = re.compile(r"(?P<scheme>[a-z+]+)://(?P<user>[^/@:]*)(?P<password>:[^/@]*)?@", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class SourceFacts:
    """What a source is, for the record.

    Args:
        words: as it stands in a table.
        commit: its whole hash; None where there is none.
        is_dirty: whether files differ from that commit; None where there is none.
        content: hash of a checkout's files; None of others.
    """

    words: str
    commit: str | None = None
    is_dirty: bool | None = None
    content: str | None = None


@dataclass(frozen=True, slots=True)
class Release:
    """A release of the package index.

    Args:
        number: in its one spelling; one that is refused cannot be made.
    """

    number: str

    def __post_init__(self) -> None:
        """Check the number."""
        if checked_release(self.number) != self.number:
            raise ValueError(f"number={self.number!r} must be written {checked_release(self.number)!r}")

    def __str__(self) -> str:
        """`litellm 1.106.2`."""
        return f"litellm {self.number}"

    @property
    def option_text(self) -> str:
        """Its number."""
        return self.number

    @property
    def facts(self) -> SourceFacts:
        """For the record."""
        return SourceFacts(str(self))


@dataclass(frozen=True, slots=True)
class Checkout:
    """A folder with LiteLLM's source, as it was when this value was made.

    Args:
        folder: the absolute path.
        shown: the path as typed.
        content: hash of its files (snapshots.py).
        commit: which one it stands on; None without git, or before a first commit.
        is_dirty: whether its files differ from that commit.
    """

    folder: Path
    shown: str
    content: str
    commit: git.Commit | None = None
    is_dirty: bool = False

    def __str__(self) -> str:
        """`litellm at ../litellm (5f6a633 + changes)`."""
        if self.commit is None:
            return f"litellm at {self.shown} (no commit, content {self.content[:SHOWN_HASH_CHARS]})"
        changes = " + changes" if self.is_dirty else ""
        return f"litellm at {self.shown} ({self.commit.sha[:SHOWN_HASH_CHARS]}{changes})"

    @property
    def option_text(self) -> str:
        """`path:` and the folder as typed."""
        return f"path:{self.shown}"

    @property
    def facts(self) -> SourceFacts:
        """For the record."""
        if self.commit is None:
            return SourceFacts(str(self), content=self.content)
        return SourceFacts(str(self), self.commit.sha, self.is_dirty, self.content)


@dataclass(frozen=True, slots=True)
class GitRef:
    """A commit of a repository.

    Args:
        url: of the repository, or an absolute path; holds no password.
        ref: as typed: a branch, a tag, or a whole hash.
        commit: what it stood for when this value was made.
    """

    url: str
    ref: str
    commit: str

    def __str__(self) -> str:
        """`litellm git main (5f6a633)`."""
        short = self.commit[:SHOWN_HASH_CHARS]
        return f"litellm git {short}" if self.ref == self.commit else f"litellm git {self.ref} ({short})"

    @property
    def option_text(self) -> str:
        """Its commit rather than the reference, which may move."""
        return f"git:{self.url}@{self.commit}"

    @property
    def facts(self) -> SourceFacts:
        """For the record."""
        return SourceFacts(str(self), self.commit, is_dirty=False)


@dataclass(frozen=True, slots=True)
class RunningUrl:
    """A gateway that somebody else started.

    Args:
        url: its base address, without a slash at the end.
        key_env: the environment variable with its API key; None where it asks for none.
    """

    url: str
    key_env: str | None = None

    def __str__(self) -> str:
        """`gateway at http://…`."""
        return f"gateway at {self.url}"

    @property
    def option_text(self) -> str:
        """`url:` and the address."""
        return f"url:{self.url}"

    @property
    def facts(self) -> SourceFacts:
        """For the record."""
        return SourceFacts(str(self))

    @property
    def chat_url(self) -> str:
        """Where chat completions are POSTed to."""
        return f"{self.url}/chat/completions" if self.url.endswith("/v1") else f"{self.url}/v1/chat/completions"


@dataclass(frozen=True, slots=True)
class PortkeyRelease:
    """A release of Portkey's gateway, an npm package; only the one that is pinned can be had.

    Args:
        number: of the release.

    Raises:
        BadInput: another one.
    """

    number: str = PORTKEY_RELEASE

    def __post_init__(self) -> None:
        """Check the number."""
        if self.number != PORTKEY_RELEASE:
            raise BadInput(
                f"portkey:{self.number}: perfgate has Portkey's gateway {PORTKEY_RELEASE} alone, pinned with all that "
                f"it needs (portkey_gateway/README.md says how to pin another): write portkey:{PORTKEY_RELEASE}"
            )

    def __str__(self) -> str:
        """`portkey 1.15.2`."""
        return f"portkey {self.number}"

    @property
    def option_text(self) -> str:
        """`portkey:` and its number."""
        return f"portkey:{self.number}"

    @property
    def facts(self) -> SourceFacts:
        """For the record."""
        return SourceFacts(str(self))


#: LiteLLM that can be installed.
Installable = Release | Checkout | GitRef
Source = Installable | RunningUrl | PortkeyRelease


def source_of(text: str, base_dir: Path | None = None) -> Source:
    """What a user asks for.

    Args:
        text: as typed; the forms are in the module's docstring.
        base_dir: what relative paths start from; None is the current folder.

    Raises:
        BadInput: nothing that can be judged; says what is wrong and what to write. No password is repeated.

    >>> str(source_of("v1.106.2"))
    'litellm 1.106.2'
    """
    text = text.strip()
    base_dir = base_dir or Path.cwd()
    if text.startswith("path:"):
        return _checkout(text.removeprefix("path:"), base_dir)
    if text.startswith("git:"):
        return _git_ref(text.removeprefix("git:"), base_dir)
    if text.startswith("url:"):
        return RunningUrl(checked_base_url(text.removeprefix("url:"), "url:"))
    if text.startswith("portkey:"):
        return PortkeyRelease(text.removeprefix("portkey:"))
    if "://" in text:
        raise BadInput(f"an address alone does not say what it is of: write {_FORMS}")
    if "/" in text or text.startswith("."):
        raise BadInput(f"{text!r} is not a release: write {_FORMS}")
    return Release(checked_release(text))


def checked_base_url(url: str, what: str) -> str:
    """An address of HTTP to which paths are added: without user, query, or a slash at its end.

    Args:
        url: as typed.
        what: the option that it was typed for, for messages.

    Raises:
        BadInput: no such address; a password is not repeated.
    """
    if "@" in url:
        raise BadInput(f"{what} the address must hold no user or password: they would stand in the record")
    if "?" in url or "#" in url:
        raise BadInput(f"{what} the address must end with its path: what comes after ? or # cannot be added to")
    try:
        Endpoint.of_url(url)
    except ValueError as error:
        raise BadInput(f"{what} {error}") from None
    return url.rstrip("/")


def _checkout(shown: str, base_dir: Path) -> Checkout:
    what = f"path:{shown}"
    folder = (base_dir / Path(shown).expanduser()).resolve()
    if not shown or not folder.is_dir():
        raise BadInput(f"{what}: there is no folder {folder if shown else 'without a name'}")
    check_is_litellm(folder, what)
    try:
        content = content_of(folder, members_of(folder))
        commit = git.head_of(folder) if is_git_checkout(folder) else None
        return Checkout(folder, shown, content, commit, is_dirty=commit is not None and git.is_changed(folder))
    except GitFailed as error:
        raise BadInput(f"{what}: git cannot read this checkout. git says: {error}") from None
    except OSError as error:
        raise BadInput(f"{what}: {error.filename} cannot be read: {error.strerror}") from error


def _git_ref(text: str, base_dir: Path) -> GitRef:
    url, at, ref = text.rpartition("@")
    secret = _SECRET_IN_ADDRESS.search(text)
    # The user of an ssh address is part of it and no secret; `https://TOKEN@host/…` is one.
    if secret is not None and (secret["password"] or secret["scheme"].lower() != "ssh"):
        raise BadInput(
            "git: the address must hold no user, password or token: they would stand in the record. Let git know them "
            "in its own ways (a credential helper, an ssh key)"
        )
    if not at or not url or not ref or ref.startswith("-") or url.startswith("-") or ref.endswith("/"):
        raise BadInput(f"git:{text}: write git:URL@REF, where REF is a branch, a tag or a whole commit hash")
    if "?" in url or "#" in url:
        raise BadInput("git: the address must end with its path: what comes after ? or # may be a token")
    if "://" not in url and not _SSH_SHORT.match(url):
        folder = (base_dir / Path(url).expanduser()).resolve()
        if not folder.exists():
            raise BadInput(f"git:{text}: there is no folder {folder}")
        url = str(folder)
    if FULL_COMMIT.fullmatch(ref):
        return GitRef(url, ref, ref)
    try:
        commit = git.commit_of_ref(url, ref)
    except GitFailed as error:
        raise BadInput(
            f"git:{text}: the repository cannot be read: check the address, the network, and that "
            f"`git ls-remote {url}` needs no password typed. git says: {error}"
        ) from None
    if commit is None:
        raise BadInput(
            f"git:{text}: the repository has no branch or tag {ref}; a commit is written with all of its 40 digits"
        )
    return GitRef(url, ref, commit)
