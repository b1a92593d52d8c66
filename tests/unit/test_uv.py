"""What is asked of uv: only requirements."""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path

import pytest

from wheelhouse_builder.errors import JobError
from wheelhouse_builder.requirements.model import RequirementSet
from wheelhouse_builder.resolve.uv import ResolveOptions, _explain, resolve_build_requirements


@pytest.mark.parametrize(
    "text", ["--index-url=http://127.0.0.1/", "cffi\n--index-url=http://127.0.0.1/", "-r /etc/passwd", "./here", ""]
)
def test_a_build_requirement_is_no_line_of_options(tmp_path: Path, text: str) -> None:
    with pytest.raises(JobError, match="is no valid requirement"):
        resolve_build_requirements(["cffi", text], Path(sys.executable), ResolveOptions(cache=tmp_path))


@pytest.mark.parametrize(
    "said",
    [
        "error: Failed to fetch: http://127.0.0.1/f/a.whl\n  cause: HTTP status client error (404 Not Found)\n",
        "error: Received some unexpected JSON from `http://127.0.0.1/simple/a/`\n  cause: EOF while parsing\n",
    ],
)
def test_an_index_that_is_at_fault_is_not_blamed_on_the_requirements(tmp_path: Path, said: str) -> None:
    error = _explain(said, RequirementSet(), ResolveOptions(cache=tmp_path), "what")
    assert error.hint == "the package index does not hand out what it names: ask who runs it, or use another"


def test_an_age_of_hours_is_told_in_hours(tmp_path: Path) -> None:
    said = "error: No solution found\n\nhint: `a` was filtered by `exclude-newer` to only include old packages.\n"
    error = _explain(said, RequirementSet(), ResolveOptions(cache=tmp_path, min_age=timedelta(hours=12)), "what")
    assert error.hint == (
        "`a` was filtered by min-age (12 hours) to only include old packages. "
        "Wait, ask for an older version, or lower min-age"
    )
