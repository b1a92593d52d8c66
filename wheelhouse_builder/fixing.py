"""`--fix`: a build that lacks a C library of which there is a recipe is done once more with that library.

That holds for one run. What was added is written to `whb-fixes.toml` beside the settings file, for a person to review
and to move to the settings: a run reads nothing else.
"""

from __future__ import annotations

import threading
import tomllib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wheelhouse_builder.errors import JobError, UsageError
from wheelhouse_builder.events import Level, Listener, Note
from wheelhouse_builder.files import write_atomically
from wheelhouse_builder.recipes.store import library_names, load_library, load_package_recipe
from wheelhouse_builder.toml import toml_value

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from packaging.utils import NormalizedName

    from wheelhouse_builder.builds import Build
    from wheelhouse_builder.engines.ladder import Ladder
    from wheelhouse_builder.pipeline import Pipeline
    from wheelhouse_builder.plan import Job

    Table = Mapping[str, object]
    Tables = Mapping[str, Table]  # [packages.NAME], as written

FILE_NAME = "whb-fixes.toml"
_HEAD = """\
# What `--fix` added to builds that lacked a C library, for review: move what is right to whb.toml (in pyproject.toml:
# below tool.whb), and remove it here. whb does not read this file.
"""


def with_libraries(table: Table, libraries: Sequence[str]) -> dict[str, Any]:
    """A package's table with more libraries, and with flags for them unless it has its own."""
    own: Any = table  # it was checked when the run began
    return {
        **own,
        "libraries": list(dict.fromkeys([*own.get("libraries", ()), *libraries])),
        "environment": {**_flags(libraries), **own.get("environment", {})},
    }


def _flags(libraries: Sequence[str]) -> dict[str, str]:
    """For a source that includes a header and links a library without asking pkg-config.

    Each of a library's archives is named: one does not say what it needs of another, as a shared library does.
    """
    places = [f"{{{library}.prefix}}" for library in libraries]
    archives = [Path(archive).stem.removeprefix("lib") for name in libraries for archive in load_library(name).archives]
    links = [*(f"-L{place}/lib" for place in places), *(f"-l{archive}" for archive in archives)]
    return {"CPPFLAGS": " ".join(f"-I{place}/include" for place in places), "LDFLAGS": " ".join(links)}


def with_fix(text: str, name: str, libraries: Sequence[str], why: str) -> str:
    """The text of `whb-fixes.toml` with the libraries that a package lacks; the same text if it has them.

    Raises `UsageError` if the text is no such file.
    """
    try:
        packages = tomllib.loads(text).get("packages", {})
        there = packages[name]["libraries"] if name in packages else []
    except (tomllib.TOMLDecodeError, AttributeError, TypeError, KeyError) as error:
        raise UsageError(f"it is not what whb wrote: {error}") from None
    missing = [library for library in libraries if library not in there]
    if not missing:
        return text
    lines = [f"# {_one_line(why)}", *_lines(name, [*there, *missing])]
    old, new = "\n".join(_lines(name, there)), "\n".join(lines)
    if not there:
        return f"{text or _HEAD}\n{new}\n"
    if old in text:
        return text.replace(old, new)
    return f"{text}\n" + "\n".join(f"# {line}" for line in lines) + "\n"  # a table cannot be there twice


def _lines(name: str, libraries: Sequence[str]) -> list[str]:
    values = with_libraries({}, libraries)
    return [f"[packages.{name}]", *(f"{key} = {toml_value(value)}" for key, value in values.items())]


def _one_line(text: str) -> str:
    """Text from a log as a comment: no line end, no control character."""
    return "".join(char if char.isprintable() else " " for char in text)


@dataclass(frozen=True, kw_only=True)
class Fixing:
    """Does jobs as the pipeline does, and one that fails for want of a library once more with it. Safe in threads."""

    pipeline: Pipeline
    tables: Tables  # of the settings
    make_ladder: Callable[[Tables], Ladder]  # the engines, with these tables
    file: Path
    listener: Listener
    _added: dict[NormalizedName, dict[str, str]] = field(default_factory=dict, init=False)  # library → why
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    def run(self, job: Job, phase: Callable[[str], None]) -> tuple[Build, Path]:
        """Like `Pipeline.run`; what an earlier job of the package lacked is there from the start."""
        libraries = tuple(self._added.get(job.source.name, ()))
        try:
            done = self._run(job, libraries, phase)
        except JobError as error:
            if not self._add(job, libraries, error):
                raise
            libraries = tuple(self._added[job.source.name])
            self._tell(f"{job.title}: {error.library} was missing, and a recipe provides it: tried again with it")
            done = self._run(job, libraries, phase)
        if libraries:
            self._write(job.source.name, libraries)
        return done

    def _run(self, job: Job, libraries: Sequence[str], phase: Callable[[str], None]) -> tuple[Build, Path]:
        if not libraries:
            return self.pipeline.run(job, phase)
        tables = {**self.tables, job.source.name: self._table(job.source.name, libraries)}
        pipeline = replace(self.pipeline, ladder=self.make_ladder(tables))
        keys = pipeline.request_keys(job.source, job.target)
        try:
            return pipeline.run(replace(job, request_keys=keys), phase)
        except JobError as error:
            error.message = f"with {', '.join(libraries)} added (--fix): {error.message}"
            raise

    def _add(self, job: Job, tried: Sequence[str], error: JobError) -> bool:
        """Whether the library that a job lacked is added to its package now, or was by another one meanwhile."""
        name, library = job.source.name, error.library
        if library in tried or library not in library_names():
            return False
        version, with_it = job.source.version, [*tried, library]
        had, has = (
            load_package_recipe(name, version, table).libraries
            for table in (self.tables.get(name, {}), self._table(name, with_it))
        )
        if library in had or library not in has:  # it was there, or the project's table is for other versions
            return False
        with self._lock:
            self._added.setdefault(name, {}).setdefault(library, f"{job.title}: {error.message}")
        return True

    def _table(self, name: str, libraries: Sequence[str]) -> Table:
        return with_libraries(self.tables.get(name, {}), libraries)

    def _write(self, name: NormalizedName, libraries: Sequence[str]) -> None:
        """Write down what a package was built with. What cannot be written is told."""
        why = "; ".join(self._added[name][library] for library in libraries)
        with self._lock:
            try:
                text = self.file.read_text(encoding="utf-8") if self.file.exists() else ""
                changed = with_fix(text, name, libraries, why)
                if changed == text:
                    return
                write_atomically(self.file, changed.encode())
            except (OSError, ValueError, UsageError) as error:
                lines = "; ".join(_lines(name, libraries))
                self._tell(f"{self.file} was left as it is ({error}); what is for review: {lines}", Level.WARNING)
                return
        added = ", ".join(libraries)
        self._tell(f"{name} was built with {added} added: review what {self.file} says of it", Level.WARNING)

    def _tell(self, text: str, level: Level = Level.INFO) -> None:
        self.listener(Note(text=text, level=level))
