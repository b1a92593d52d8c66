"""Requirements files with all that they include."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from wheelhouse_builder.errors import UsageError
from wheelhouse_builder.redact import redact
from wheelhouse_builder.requirements.model import (
    PROJECT_FILES,
    Option,
    Origin,
    RequirementLine,
    RequirementSet,
    local_path,
)
from wheelhouse_builder.requirements.syntax import parse_requirement, parse_requirements

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


def read_requirements(
    files: Sequence[Path], *, constraints: Sequence[Path] = (), extra: Sequence[str] = ()
) -> RequirementSet:
    """Read requirements files, constraints files and requirements from the command line, and all that they include.

    A folder in the place of a requirements file is the project there.
    Raises `UsageError` naming file, line and text.
    """
    entries: list[RequirementLine | Option] = []
    for number, file in enumerate(files, start=1):
        if file.is_dir():
            entries.append(_project(file, Origin(file=None, number=number)))
        else:
            entries += _read_file(file, constraint=False, ancestors=(), included_by=None)
    for file in constraints:
        entries += _read_file(file, constraint=True, ancestors=(), included_by=None)
    for number, text in enumerate(extra, start=1):
        entries.append(parse_requirement(text.strip(), Origin(file=None, number=number)))
    return RequirementSet(
        lines=tuple(entry for entry in entries if isinstance(entry, RequirementLine)),
        options=tuple(entry for entry in entries if isinstance(entry, Option)),
    )


def _project(folder: Path, origin: Origin) -> RequirementLine:
    if not any((folder / name).is_file() for name in PROJECT_FILES):
        raise UsageError(
            f"{folder} is no project: it has no {' nor '.join(PROJECT_FILES)}", hint="name the folder of a project"
        )
    return parse_requirement(folder.resolve().as_uri(), origin)  # a path could hold what ends one in a line


def _read_file(
    file: Path, *, constraint: bool, ancestors: tuple[Path, ...], included_by: Origin | None
) -> Iterator[RequirementLine | Option]:
    """Yield the entries of a file and, in place, those of the files that it includes."""
    by = f" (included by {included_by})" if included_by else ""
    try:
        resolved = file.resolve()
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{file}{by} is not UTF-8 text: {error.reason} at byte {error.start}",
            hint="save it as UTF-8; a package is given with -P",
        ) from None
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        kind = "constraints" if constraint else "requirements"
        base = "the file that names them" if by else "the working directory"
        raise UsageError(
            f"cannot read the {kind} file {str(file)!r}{by}: {reason}",
            hint=f"paths are relative to {base}",
        ) from None
    if resolved in ancestors:
        raise UsageError(f"{file} includes itself{by}", hint="remove one of the -r or -c lines")
    for entry in parse_requirements(text, file=file, constraint=constraint, variables=os.environ):
        if isinstance(entry, Option) and entry.name in {"requirement", "constraint"}:
            yield from _read_file(
                _included(entry),
                constraint=entry.name == "constraint",
                ancestors=(*ancestors, resolved),
                included_by=entry.origin,
            )
        elif isinstance(entry, Option) and entry.name == "find-links":
            yield Option(origin=entry.origin, name=entry.name, value=_found_links(entry.value, file))
        else:
            yield entry


def _included(option: Option) -> Path:
    if "://" in option.value and not option.value.startswith("file:"):
        raise UsageError(
            f"{option.origin}: {redact(option.value)!r} is not a local file", hint="download it, and include the copy"
        )
    assert option.origin.file is not None
    return option.origin.file.parent / (local_path(option.value) or option.value)


def _found_links(value: str, file: Path) -> str:
    """A directory beside the file is meant before one in the working directory, as in pip."""
    if "://" in value:
        return value
    beside = file.parent / value
    return str((beside if os.path.lexists(beside) else Path(value)).absolute())
