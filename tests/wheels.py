"""Small wheels for tests, made by hand."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

ANY = "py3-none-any"


def make_wheel(
    folder: Path,
    *,
    name: str = "demo",
    version: str = "1.0",
    tag: str = ANY,
    files: Mapping[str, bytes] | None = None,
    requires_python: str | None = ">=3.8",
    requires: tuple[str, ...] = (),
) -> Path:
    """Write a wheel with the module `<name>.py`, or with `files`, and return its path."""
    underscored = name.replace("-", "_").replace(".", "_")
    info = f"{underscored}-{version}.dist-info"
    headers = [f"Requires-Python: {requires_python}"] if requires_python else []
    headers += [f"Requires-Dist: {requirement}" for requirement in requires]
    metadata = "\n".join(["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", *headers, "", "Text.\n"])
    wheel = f"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: {str(tag.endswith('any')).lower()}\nTag: {tag}\n"
    content = {f"{underscored}.py": b"ANSWER = 42\n"} if files is None else dict(files)
    content |= {f"{info}/METADATA": metadata.encode(), f"{info}/WHEEL": wheel.encode()}
    record = "".join(f"{member},,\n" for member in [*content, f"{info}/RECORD"])
    path = folder / f"{underscored}-{version}-{tag}.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for member, data in {**content, f"{info}/RECORD": record.encode()}.items():
            archive.writestr(zipfile.ZipInfo(member, (2020, 1, 1, 0, 0, 0)), data)
    return path
