"""An uploaded wheel, judged and taken in: the same door as for what `whb build` makes, with nothing taken on trust.

What is asked before anything is looked at is cheap; the loader check comes last; the lock is held only to admit and
publish. Published with the same content already: nothing to do, and that is success, as on the package index.
"""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name, parse_wheel_filename
from packaging.version import InvalidVersion, Version

from wheelhouse_builder.errors import JobError, MachineError, WhbError
from wheelhouse_builder.repair.record import require_record
from wheelhouse_builder.server.upload_form import Refused
from wheelhouse_builder.verification import EVERY_TARGET
from wheelhouse_builder.verify.loader import check_loader
from wheelhouse_builder.wheelhouse.generations import publish
from wheelhouse_builder.wheelhouse.retired import bring_back
from wheelhouse_builder.wheelhouse.store import Wheelhouse, record_of, require_admissible

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from wheelhouse_builder.server.upload_form import Form
    from wheelhouse_builder.verify.verdict import Verdict
    from wheelhouse_builder.wheelhouse.stored import StoredWheel

LOCK_WAIT = 10.0  # seconds; twine repeats a 503 four times at once, so it waits five times as long
_RETRY_AFTER = 30  # seconds
_MOST_PROBLEMS = 3  # of the loader's, in an answer


def require_claims(form: Form) -> None:
    """Raise `Refused` unless the form is an upload of a wheel for musl whose fields agree with its name and content.

    This is all that can be said before the file is opened.
    """
    fields = form.fields
    if fields.get(":action") != "file_upload" or fields.get("protocol_version") != "1":
        raise Refused(400, "this is no upload: :action has to be file_upload, and protocol_version 1")
    if fields.get("filetype") != "bdist_wheel":
        raise Refused(400, "only wheels are taken (filetype bdist_wheel): `whb build` makes wheels of sdists")
    with _refusing():
        require_admissible(form.filename)
    name, version, _, _ = parse_wheel_filename(form.filename)
    if canonicalize_name(fields.get("name", "")) != name or not _is_version(fields.get("version", ""), version):
        raise Refused(400, f"name and version of the form are not those of {form.filename}")
    if "sha256_digest" not in fields:
        raise Refused(400, "sha256_digest is missing: this server takes nothing whose hash is not told")
    if fields["sha256_digest"].lower() != form.sha256:
        raise Refused(400, "sha256_digest is not that of the file that came: it was damaged on the way; upload again")


def take_in(wheel: Path, root: Path, *, user: str | None, musl_floor: str, lock_wait: float = LOCK_WAIT) -> str:
    """Judge the file `wheel`, which has its real name and passed `require_claims`; admit and publish it.

    Returns what to say. Raises `Refused`: 400 for what is wrong with the wheel, 503 while
    another process holds the wheelhouse's lock for longer than `lock_wait` seconds, 507 when the disk is full, 500 when
    the wheelhouse is damaged. Blocks; to be called by one thread at a time.
    """
    wheelhouse = Wheelhouse(root)
    with _refusing():
        record = record_of(wheel, origin="uploaded", notes=(f"uploaded by {user}",) if user else ())
        if not _is_here(wheelhouse, record):
            require_record(wheel)
            record = replace(record, verdicts=_verdicts(wheel, musl_floor))
        with _locked(wheelhouse, lock_wait):
            new = not _is_here(wheelhouse, record)  # somebody may have been faster
            if new:
                wheelhouse.admit(wheel, record)
            else:
                bring_back(wheelhouse.records, [record.filename])
            publish(wheelhouse, {})
    return f"{record.filename} is {'published' if new else 'here already, with this content'}"


def _is_version(text: str, version: Version) -> bool:
    try:
        return Version(text) == version
    except InvalidVersion:
        return False


def _is_here(wheelhouse: Wheelhouse, record: StoredWheel) -> bool:
    """Whether this very wheel is in the wheelhouse. Raises `Refused` when its name stands for other content.

    That is 400, as on the package index: uv takes a 409 for success. twine's --skip-existing looks for "already exist".
    """
    parsed = parse_wheel_filename(record.filename)
    for known in wheelhouse.records.of_projects([record.name]):
        if known.filename == record.filename and known.sha256 == record.sha256:
            return (wheelhouse.root / known.filename).is_file()
        if parse_wheel_filename(known.filename) == parsed:
            raise Refused(
                400,
                f"{known.filename} already exists with other content, and a name stands for one content for ever: "
                "upload a new version, or the same with another build tag",
            )
    if (wheelhouse.root / record.filename).exists():
        raise Refused(400, f"{record.filename} already exists in the wheelhouse's folder, where whb did not put it")
    return False


def _verdicts(wheel: Path, musl_floor: str) -> tuple[Verdict, ...]:
    """The loader's evidence for every target that the wheel is for. Raises `Refused` if one of them cannot load it."""
    tags = parse_wheel_filename(wheel.name)[-1]
    targets = [target for target in EVERY_TARGET if target.fits(tags)]
    if not targets:
        oldest, newest = EVERY_TARGET[0].python_version, EVERY_TARGET[-1].python_version
        raise Refused(400, f"{wheel.name} installs on no musl target from Python {oldest} to {newest}")
    verdicts = tuple(check_loader(wheel, target, musl_floor=musl_floor) for target in targets)
    problems = list(dict.fromkeys(problem for verdict in verdicts for problem in verdict.problems))
    if problems:
        more = len(problems) - _MOST_PROBLEMS
        told = "; ".join(problems[:_MOST_PROBLEMS]) + (f"; and {more} more" if more > 0 else "")
        raise Refused(400, f"{wheel.name} does not load on musl: {told} (`whb verify` tells all)")
    return verdicts


@contextlib.contextmanager
def _locked(wheelhouse: Wheelhouse, wait: float) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(wheelhouse.lock(wait=wait))
        except MachineError as error:
            text = "the wheelhouse is in use by a build or another publication: try again in some minutes"
            raise Refused(503, text, retry_after=_RETRY_AFTER) from error
        yield


@contextlib.contextmanager
def _refusing() -> Iterator[None]:
    """Tell our own errors as answers. What is wrong on this machine is not told to clients but noted as the cause."""
    try:
        yield
    except JobError as error:
        raise Refused(400, error.message + (f" ({error.hint})" if error.hint else "")) from error
    except MachineError as error:
        raise Refused(507, "the server cannot write its wheelhouse: tell who runs it; its log says why") from error
    except WhbError as error:
        raise Refused(500, "the server's wheelhouse is damaged: tell who runs it; its log says why") from error
