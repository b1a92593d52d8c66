"""The one way to start a subprocess.

An argument list, never shell text; an environment chosen by us; its own process group, killed whole on a time-out or
when the run is cancelled; output to a log file.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from tempfile import TemporaryFile
from typing import IO, TYPE_CHECKING

from wheelhouse_builder.errors import Cancelled, JobError, MachineError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from pathlib import Path

# What a subprocess may inherit: where programs are, how text is encoded, how the network is reached. Nothing that
# steers a compiler or holds a token (LD_*, CFLAGS, PYTHONPATH, GITHUB_TOKEN …).
_NETWORK = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "no_proxy", "all_proxy")
_CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE")
PASSED_ENVIRONMENT = frozenset(
    ["PATH", "LANG", "LC_ALL", "LC_CTYPE", "TERM", "TZ", "USER", "LOGNAME", *_NETWORK, *_CERTIFICATES]
)

_TAIL_BYTES = 4096
_GRACE_SECONDS = 2.0
_POLL_SECONDS = 0.05
_FIRST_POLL_SECONDS = 0.0005


def base_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The allow-listed part of this process's environment, with `extra` over it."""
    return {name: value for name, value in os.environ.items() if name in PASSED_ENVIRONMENT} | dict(extra or {})


def network_environment() -> dict[str, str]:
    """How the network is reached, of this process's environment: proxies and certificates."""
    return {name: value for name, value in os.environ.items() if name in {*_NETWORK, *_CERTIFICATES}}


@dataclass
class Canceller:
    """Ends a run: `cancel()` once, from a signal handler or another thread; every `run()` under it then stops."""

    _event: threading.Event = field(default_factory=threading.Event)

    def cancel(self) -> None:
        """Stop what runs under this canceller, and start nothing more."""
        self._event.set()

    @property
    def cancelled(self) -> bool:
        """Whether `cancel()` was called."""
        return self._event.is_set()

    def check(self) -> None:
        """Raise `Cancelled` if the run was cancelled."""
        if self.cancelled:
            raise Cancelled("interrupted", hint="whatever was finished is kept; run the same command again to go on")


@dataclass(frozen=True)
class _Limit:
    """The moment at which all that runs under it has to be over, by `time.monotonic`, and why, for people."""

    deadline: float
    why: str


_limit: ContextVar[_Limit | None] = ContextVar("limit", default=None)


@contextmanager
def limited(seconds: float, why: str) -> Iterator[None]:
    """Whatever `run` starts in this thread meanwhile has `seconds` for all of it together.

    `why` stands behind "took too long: " in the `JobError` of kind `time-out` that what exceeds it ends with. What is
    run without a canceller cleans up, or answers at once: it is not counted.
    """
    token = _limit.set(_Limit(time.monotonic() + seconds, why))
    try:
        yield
    finally:
        _limit.reset(token)


@dataclass
class Meter:
    """What the programs under `metered` took."""

    # Bytes: the largest resident set that any one of them or of their children had. Not below this process's own, which
    # Linux counts as that of what it starts (exec keeps the mark: fs/exec.c, exec_mmap).
    peak: int | None = None

    def add(self, resident: int) -> None:
        """One more program ended, whose largest resident set was so many bytes."""
        self.peak = max(self.peak or 0, resident)


_meter: ContextVar[Meter | None] = ContextVar("meter", default=None)


@contextmanager
def metered() -> Iterator[Meter]:
    """Counts what `run` starts in this thread meanwhile. What a container service runs is not below this process."""
    meter = Meter()
    token = _meter.set(meter)
    try:
        yield meter
    finally:
        _meter.reset(token)


@dataclass(frozen=True)
class Completed:
    """A subprocess that ended by itself, with an exit code that is no failure."""

    output: str  # standard output; empty when it went to a log
    seconds: float
    exit_code: int = 0


def run(
    argv: Sequence[str | os.PathLike[str]],
    *,
    env: Mapping[str, str],
    cwd: Path | None = None,
    log: Path | None = None,
    timeout: float | None = None,
    canceller: Canceller | None = None,
    what: str | None = None,
    accepted: Collection[int] = (0,),
    each_line: Callable[[str], None] | None = None,
) -> Completed:
    """Run a program to its end.

    `env` is the whole environment (see `base_environment`). With `log`, both output streams are appended to that file;
    without it standard output is returned and standard error kept for the error message. `timeout` is in seconds.
    `what` names the step in messages. An exit code that is not among the `accepted` is a failure. `each_line` is told
    every line that comes to the log, while the program runs. See also `limited` and `metered`.
    Raises `MachineError` if the program is not there, `JobError` if it fails or takes too long (of kind `time-out`),
    `Cancelled`.
    """
    command = [os.fspath(part) for part in argv]
    name = what or os.path.basename(command[0])  # noqa: PTH119 - a name, not a path
    if canceller is not None:
        canceller.check()
    started = time.monotonic()
    with _streams(log, command) as (out, err), _told(log, each_line) as tell:
        process = _start(command, env, cwd, stdout=out, stderr=err)
        _wait(process, timeout, canceller, name, log, tell)
        tell()
        output, errors = ("", "") if log else (_content(out), _content(err))
    if process.returncode not in accepted:
        tail = tail_of(log) if log else errors or output
        raise JobError(f"{name} failed with exit code {process.returncode}", log=log, tail=tail[-_TAIL_BYTES:].strip())
    return Completed(output, time.monotonic() - started, process.returncode)


@contextmanager
def _streams(log: Path | None, command: list[str]) -> Iterator[tuple[IO[bytes], IO[bytes]]]:
    """Where output and errors go. Files, not pipes: what outlives a program and holds them open holds nobody up."""
    if log is None:
        with TemporaryFile() as output, TemporaryFile() as errors:
            yield output, errors
        return
    with log.open("ab") as stream:
        stream.write(f"$ {' '.join(command)}\n".encode(errors="surrogateescape"))
        stream.flush()
        yield stream, stream


@contextmanager
def _told(log: Path | None, each_line: Callable[[str], None] | None) -> Iterator[Callable[[], None]]:
    """What tells the lines that have come to the log since it was last called."""
    if log is None or each_line is None:
        yield lambda: None
        return
    with log.open("rb") as stream:
        stream.seek(0, os.SEEK_END)
        begun = b""

        def tell() -> None:
            nonlocal begun
            *lines, begun = (begun + stream.read()).split(b"\n")
            for line in lines:
                each_line(line.decode(errors="replace"))

        yield tell


def _content(stream: IO[bytes]) -> str:
    stream.seek(0)
    return stream.read().decode(errors="replace")


def tail_of(log: Path, lines: int = 25) -> str:
    """The last lines of a log file."""
    return "\n".join(end_of(log, _TAIL_BYTES).splitlines()[-lines:])


def end_of(log: Path, size: int) -> str:
    """The last `size` bytes of a log file: some builds print for hours."""
    with log.open("rb") as stream:
        stream.seek(max(0, stream.seek(0, os.SEEK_END) - size))
        return stream.read().decode(errors="replace")


def _start(command: list[str], env: Mapping[str, str], cwd: Path | None, **streams: object) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(  # type: ignore[call-overload,no-any-return]
            command, env=dict(env), cwd=cwd, stdin=subprocess.DEVNULL, start_new_session=True, **streams
        )
    except FileNotFoundError as error:
        raise MachineError(f"{error.filename!r} is not there", hint="`whb doctor` says what is missing") from error
    except OSError as error:  # no program for this machine, no memory, arguments too long
        raise MachineError(
            f"{command[0]} cannot be started: {error.strerror}", hint="`whb doctor` may say why"
        ) from error


def _wait(
    process: subprocess.Popen[bytes],
    timeout: float | None,
    canceller: Canceller | None,
    name: str,
    log: Path | None,
    tell: Callable[[], None],
) -> None:
    deadline = None if timeout is None else time.monotonic() + timeout
    limit = None if canceller is None else _limit.get()

    def exceeded(message: str, hint: str) -> JobError:
        return JobError(message, hint=hint, log=log, tail=tail_of(log) if log else "", kind="time-out")

    try:
        while not _reaped(process, _POLL_SECONDS):
            tell()
            if canceller is not None:
                canceller.check()
            now = time.monotonic()
            if deadline is not None and now > deadline:
                raise exceeded(f"{name} took longer than {timeout:g} s", "it hangs, or this machine is too busy for it")
            if limit is not None and now > limit.deadline:
                hint = "the end of the log says where it hangs; a build that only needs more time needs a longer limit"
                raise exceeded(f"{name} was ended, the job took too long: {limit.why}", hint)
    finally:
        kill_group(process)


def _reaped(process: subprocess.Popen[bytes], seconds: float) -> bool:
    """Whether the process has ended, waiting for it so long. What it took is metered: `Popen.wait` does not tell."""
    deadline, pause = time.monotonic() + seconds, _FIRST_POLL_SECONDS
    while process.returncode is None:
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        if pid:
            process.returncode = os.waitstatus_to_exitcode(status)
            if meter := _meter.get():
                meter.add(usage.ru_maxrss * 1024)  # KiB on Linux: getrusage(2)
        elif (left := deadline - time.monotonic()) > 0:
            time.sleep(min(pause, left))
            pause = min(2 * pause, _POLL_SECONDS)
        else:
            return False
    return True


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """End a process and all that it started: politely, then not."""
    for number, patience in ((signal.SIGTERM, _GRACE_SECONDS), (signal.SIGKILL, _GRACE_SECONDS)):
        try:
            os.killpg(process.pid, number)
        except (ProcessLookupError, PermissionError):
            break  # nothing left in the group
        _reaped(process, patience)
    while not _reaped(process, _GRACE_SECONDS):
        pass  # the kernel is at it still
