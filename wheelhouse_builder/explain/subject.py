"""What `whb explain` is asked about: a package, a wheel, a job, or a log. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING

from packaging.utils import InvalidName, canonicalize_name
from packaging.version import InvalidVersion, Version

from wheelhouse_builder.errors import UsageError
from wheelhouse_builder.target import Target

if TYPE_CHECKING:
    from packaging.utils import NormalizedName

_HINT = (
    "name a package (cffi, cffi==2.1.1), a wheel, a job as reports and logs name it, the file of a log, or - for one"
)


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A package, one version of it, one of its wheels, or its job for one target."""

    name: NormalizedName | None = None
    version: Version | None = None
    wheel: str | None = None  # file name
    job: str | None = None  # its id


def parse_subject(text: str) -> Subject:
    """`cffi`, `cffi==2.1.1`, `dist/cffi-….whl`, `cffi-2.1.1-cp312-musllinux_1_2_aarch64`. Raises `UsageError`."""
    if text.endswith(".whl"):
        return Subject(wheel=PurePath(text).name)
    if _is_job(text):
        return Subject(job=text)
    name, pinned, version = text.partition("==")
    try:
        return Subject(
            name=canonicalize_name(name.strip(), validate=True), version=Version(version) if pinned else None
        )
    except (InvalidName, InvalidVersion):
        raise UsageError(f"nothing that can be explained: {text!r}", hint=_HINT) from None


def _is_job(text: str) -> bool:
    """Whether it ends with a target: `-cp312-musllinux_1_2_aarch64`."""
    name, *rest = text.rsplit("-", 2)
    try:
        Target.parse("-".join(rest))
    except UsageError:
        return False
    return bool(name and rest)
