"""Runs `git http-backend` as CGI and the few git commands that a bare repository needs."""

import contextlib
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message
from http.client import parse_headers
from pathlib import Path
from typing import IO

_SERVER_CONFIG = {
    "http.receivepack": "true",
    # A push must not leave a detached clean-up process behind.
    "gc.auto": "0",
    "receive.autogc": "false",
    "maintenance.auto": "false",
}


class GitMissingError(Exception):
    """There is no git on this machine."""


def find_git() -> str:
    """Return the absolute path of git.

    Raises:
        GitMissingError: No git on PATH.
    """
    git = shutil.which("git")
    if git is None:
        raise GitMissingError("git is not installed: run `apt-get install git`")
    return str(Path(git).absolute())


@dataclass(frozen=True, slots=True)
class CgiRequest:
    """What the backend is told about a request, besides its body."""

    method: str
    path_info: str
    query: str
    content_type: str
    content_encoding: str
    git_protocol: str
    remote_user: str


@dataclass(frozen=True, slots=True)
class CgiResponse:
    """The backend's answer; `stream` still delivers its body."""

    status: int
    headers: Message
    stream: IO[bytes]


class GitBackend:
    """The repositories below one directory, served by git itself in an environment of our own."""

    def __init__(self, root: Path, git: str) -> None:
        self._root = root
        self._git = git
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[bytes]] = set()
        self._is_closed = False
        self._making = threading.Lock()
        self._promised: set[str] = set()

    def create(self, repository: str) -> None:
        """Have a bare repository whose branch main has one commit.

        It is made when git first needs it: often only the forge's API is asked about it.
        """
        self._promised.add(repository)

    def make(self, repository: str) -> None:
        """Make a repository that was created, unless that is done already.

        Raises:
            subprocess.CalledProcessError: git could not make it.
        """
        with self._making:
            if repository not in self._promised:
                return
            directory = self._directory(repository)
            directory.mkdir(parents=True)
            self._run("init", "--quiet", "--bare", "--initial-branch=main", str(directory))
            self._run(
                "--git-dir",
                str(directory),
                "fast-import",
                "--quiet",
                stdin=_first_commit(repository),
            )
            self._promised.remove(repository)

    def commit_of(self, repository: str, branch: str) -> str:
        """Return the commit a branch points to.

        Raises:
            subprocess.CalledProcessError: There is no such branch.
        """
        self.make(repository)
        directory = str(self._directory(repository))
        return self._run("--git-dir", directory, "rev-parse", "--verify", f"refs/heads/{branch}")

    @contextlib.contextmanager
    def serve(self, request: CgiRequest, body: IO[bytes]) -> Iterator[CgiResponse]:
        """Answer one request; the child is gone when the context ends, however it ends."""
        process = self._start(request, body)
        try:
            assert process.stdout is not None  # noqa: S101 - it was opened as a pipe
            headers = parse_headers(process.stdout)
            # A backend that died before it said anything must not look like a success.
            status = int(headers.get("Status", "200" if len(headers) else "500").split()[0])
            del headers["Status"]
            yield CgiResponse(status, headers, process.stdout)
        finally:
            self._end(process)

    def close(self) -> None:
        """Start nothing more and end what runs."""
        with self._lock:
            self._is_closed = True
            running = tuple(self._running)
        for process in running:
            _kill_group(process)

    def _start(self, request: CgiRequest, body: IO[bytes]) -> subprocess.Popen[bytes]:
        environment = self._environment() | _cgi_variables(self._root, request, _size_of(body))
        with self._lock, (self._root / "http-backend.log").open("ab") as log:
            if self._is_closed:
                raise ConnectionAbortedError("the forge is being stopped")
            process = subprocess.Popen(
                [self._git, "http-backend"],
                stdin=body,
                stdout=subprocess.PIPE,
                stderr=log,
                env=environment,
                cwd=self._root,
                # One group per request: http-backend has children, and all must end with it.
                start_new_session=True,
            )
            self._running.add(process)
        return process

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        with process:
            # The leader is not reaped yet, so its group id cannot belong to anyone else.
            _kill_group(process)
        with self._lock:
            self._running.discard(process)

    def _run(self, *arguments: str, stdin: bytes = b"") -> str:
        completed = subprocess.run(
            [self._git, *arguments],
            input=stdin,
            capture_output=True,
            check=True,
            env=self._environment(),
            cwd=self._root,
        )
        return completed.stdout.decode().strip()

    def _environment(self) -> dict[str, str]:
        """Return git's whole environment: nothing of the caller's own GIT_* may reach it."""
        settings: dict[str, str] = {}
        for index, (name, value) in enumerate(_SERVER_CONFIG.items()):
            settings |= {f"GIT_CONFIG_KEY_{index}": name, f"GIT_CONFIG_VALUE_{index}": value}
        return {
            "PATH": os.pathsep.join((str(Path(self._git).parent), "/usr/bin", "/bin")),
            "HOME": str(self._root),
            "LC_ALL": "C",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_COUNT": str(len(_SERVER_CONFIG)),
            **settings,
        }

    def _directory(self, repository: str) -> Path:
        return self._root / f"{repository}.git"


def _cgi_variables(root: Path, request: CgiRequest, body_size: int) -> dict[str, str]:
    variables = {
        "GATEWAY_INTERFACE": "CGI/1.1",
        "GIT_PROJECT_ROOT": str(root),
        "GIT_HTTP_EXPORT_ALL": "1",
        "REQUEST_METHOD": request.method,
        "PATH_INFO": request.path_info,
        "QUERY_STRING": request.query,
        "CONTENT_TYPE": request.content_type,
        "CONTENT_LENGTH": str(body_size),
        "REMOTE_USER": request.remote_user,
        "REMOTE_ADDR": "127.0.0.1",
    }
    if request.content_encoding:
        variables["HTTP_CONTENT_ENCODING"] = request.content_encoding
    if request.git_protocol:
        variables["GIT_PROTOCOL"] = request.git_protocol
    return variables


def _size_of(body: IO[bytes]) -> int:
    return os.fstat(body.fileno()).st_size


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def _first_commit(repository: str) -> bytes:
    readme = f"# {repository}\n".encode()
    return (
        b"commit refs/heads/main\n"
        b"committer Playground Forge <forge@playground.invalid> 1700000000 +0000\n"
        b"data 14\nInitial commit\n"
        b"M 100644 inline README.md\n" + b"data %d\n%s\n" % (len(readme), readme)
    )
