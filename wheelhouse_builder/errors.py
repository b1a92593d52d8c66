"""Every error a user can meet: what is wrong, with which input, and what to do next.

An error class carries its exit code (docs/reference/commands.md); an instance carries a message, an optional `hint`
(the remedy), the `kind` of the failure and nothing that has to be parsed out of text again. `cli.main` prints it;
nothing else does.

A kind is one of the classes of failures (docs/reference/failures.md): `missing-library`, `time-out`; empty while nobody
knows it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from pathlib import Path


# The kinds of failures that lie in the moment or the machine, and not in what is built: the same try may succeed later.
PASSING_KINDS = frozenset(
    {"network", "index", "hash-mismatch", "machine", "missing-tool", "emulator", "out-of-memory", "disk-full"}
)


class WhbError(Exception):
    """Base of all errors that are the user's or the machine's, not ours: shown without a traceback."""

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str | None = None, kind: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.kind = kind


class JobError(WhbError):
    """One job failed; the others go on (exit code 1).

    `log` has all that the job said, `tail` the lines of it that decide; `rule` is the id of the diagnosis rule that
    knew them. `library` is a C library that is missing. `everywhere` says that no other engine would do better.
    """

    everywhere = False

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        log: Path | None = None,
        tail: str = "",
        kind: str = "",
        rule: str = "",
        library: str = "",
        everywhere: bool = False,
    ) -> None:
        super().__init__(message, hint=hint, kind=kind)
        self.log = log
        self.tail = tail
        self.rule = rule
        self.library = library
        self.everywhere = everywhere or self.everywhere


class DownloadError(JobError):
    """A file could not be had, or what came is not what the lock promised."""

    everywhere = True


class UsageError(WhbError):
    """Wrong options, settings or input files."""

    exit_code = 2


class ResolveError(WhbError):
    """The requirements cannot be resolved for a target."""

    exit_code = 3


class MachineError(WhbError):
    """This machine lacks what is needed; the hint says how to get it."""

    exit_code = 4

    def __init__(self, message: str, *, hint: str | None = None, kind: str = "machine") -> None:
        super().__init__(message, hint=hint, kind=kind)


class DamagedError(WhbError):
    """The wheelhouse or its index is not what it should be."""

    exit_code = 5


class Cancelled(WhbError):  # noqa: N818 - what happened is no error
    """The run was interrupted; whatever was finished is kept."""

    exit_code = 130
