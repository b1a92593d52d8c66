"""From what a user writes to a store."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from wheelhouse_builder.errors import UsageError
from wheelhouse_builder.redact import redact

if TYPE_CHECKING:
    from wheelhouse_builder.remote.store import Store

_KNOWN = "write s3://BUCKET/PREFIX, file:///FOLDER or a folder"
_OTHER_STORES = "publish to a folder and copy that on (gcloud storage rsync, azcopy, rclone), or use its S3 endpoint"


def open_store(destination: str, wheelhouse: Path, *, workers: int) -> Store:
    """The store of `s3://bucket/prefix`, `file:///folder` or a folder. Raises `UsageError`."""
    parts = urlsplit(destination)
    if "://" not in destination:
        return _folder(Path(destination), wheelhouse)
    if parts.query or parts.fragment or "@" in parts.netloc:
        raise UsageError(f"{redact(destination)} is no destination", hint=f"{_KNOWN}; credentials come from AWS_*")
    if parts.scheme == "file" and parts.netloc in {"", "localhost"} and parts.path:
        return _folder(Path(unquote(parts.path)), wheelhouse)
    if parts.scheme == "s3" and parts.netloc:
        from wheelhouse_builder.remote.s3 import S3Store  # noqa: PLC0415 - boto3 costs half a second

        return S3Store(parts.netloc, parts.path.strip("/"), workers=workers)
    hint = _OTHER_STORES if parts.scheme in {"gs", "gcs", "az", "azure", "abfs"} else _KNOWN
    raise UsageError(f"{destination} is no destination that whb knows", hint=hint)


def is_folder(destination: str) -> bool:
    """Whether it is a folder, where a web server finds `index.html` by itself."""
    return not destination.startswith("s3:")


def _folder(path: Path, wheelhouse: Path) -> Store:
    from wheelhouse_builder.remote.folder import FolderStore  # noqa: PLC0415 - beside the other import

    root, house = path.expanduser().resolve(), wheelhouse.resolve()
    if root.is_relative_to(house) or house.is_relative_to(root):
        raise UsageError(f"{path} and the wheelhouse {wheelhouse} lie in one another", hint="name another folder")
    if (root / ".whb").exists():
        raise UsageError(f"{path} is a wheelhouse itself", hint="name another folder")
    if root.exists() and not root.is_dir():
        raise UsageError(f"{path} is no folder", hint=_KNOWN)
    return FolderStore(root)
