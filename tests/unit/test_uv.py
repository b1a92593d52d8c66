"""What is asked of uv: only requirements."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from wheelhouse_builder.errors import JobError
from wheelhouse_builder.resolve.uv import ResolveOptions, resolve_build_requirements


@pytest.mark.parametrize(
    "text", ["--index-url=http://127.0.0.1/", "cffi\n--index-url=http://127.0.0.1/", "-r /etc/passwd", "./here", ""]
)
def test_a_build_requirement_is_no_line_of_options(tmp_path: Path, text: str) -> None:
    with pytest.raises(JobError, match="is no valid requirement"):
        resolve_build_requirements(["cffi", text], Path(sys.executable), ResolveOptions(cache=tmp_path))
