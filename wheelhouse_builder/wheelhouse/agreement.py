"""One name for one thing: a wheel's file name, its METADATA and its `.dist-info` folder have to agree.

Installers refuse a wheel whose parts disagree (pip since 20.3: "has inconsistent name"), and an index that listed it by
its file name would show one project under the name of another.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name
from packaging.version import Version

from wheelhouse_builder.artifact import parse_wheel_name
from wheelhouse_builder.errors import JobError
from wheelhouse_builder.metadata import fields_of

if TYPE_CHECKING:
    from packaging.metadata import RawMetadata


def require_agreement(filename: str, dist_info: str, metadata: bytes) -> RawMetadata:
    """The fields of METADATA, if they are of the project and version in `filename`, and the folder of that project.

    The version of the folder is not looked at: pip and uv do not either, and it is spelt in more than one way.
    Raises `JobError` if they are not.
    """
    name, version, _, _ = parse_wheel_name(filename)
    fields = fields_of(metadata)
    told_name, told_version = fields.get("name"), fields.get("version")
    if told_name is None or told_version is None:
        raise JobError(f"the METADATA of {filename} has no {'Name' if told_name is None else 'Version'}")
    if canonicalize_name(told_name) != name or not _is_version(told_version, version):
        raise JobError(
            f"{filename} and its METADATA disagree: that is of {told_name!r} {told_version!r}",
            hint="installers refuse such a wheel: build it again; do not rename wheels",
        )
    if canonicalize_name(dist_info.removesuffix(".dist-info").partition("-")[0]) != name:
        raise JobError(
            f"{filename} and its folder {dist_info} disagree",
            hint="installers refuse such a wheel: build it again; do not rename wheels",
        )
    return fields


def _is_version(text: str, version: Version) -> bool:
    try:
        return Version(text) == version
    except ValueError:  # no version, or one with more digits than Python reads
        return False
