"""A project called `crossed` that the embedded engine builds for both architectures of Python 3.12."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.integration.conftest import in_alpine
from tests.integration.projects import sdist
from wheelhouse_builder.target import Arch, Target

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.integration.conftest import Whb

AMD, ARM = (Target((3, 12), arch) for arch in (Arch.X86_64, Arch.AARCH64))


def built_for_both(
    whb: Whb, folder: Path, files: Mapping[str, str], settings: str, **environ: str
) -> dict[str, dict[str, Any]]:
    """The rows of the run, by target, each with the log of its build and the wheel's path."""
    # Of this run alone: what an earlier one built would be taken from the build cache.
    archive = sdist(folder, "crossed", {**files, "stamp": str(folder.stat().st_mtime_ns)})
    (folder / "requirements.txt").write_text(f"./{archive.name}\n")
    (folder / "whb.toml").write_text(settings)
    arguments = ("build", "requirements.txt", "--python", "3.12", "--arch", "amd64", "--arch", "arm64", "--json")
    done = whb(*arguments, cwd=folder, WHB_VERIFY_ENGINE="off", **environ)
    assert done.returncode == 0, done.stderr
    house = folder / "wheelhouse"
    rows: list[dict[str, Any]] = json.loads(done.stdout)["rows"]
    return {
        row["target"]: row
        | {
            "log": (house / f".whb/logs/crossed-1.0-{row['target']}.log").read_text(),
            "wheel": house / row["filename"],
        }
        for row in rows
    }


def answer_on_alpine(row: Mapping[str, Any], target: Target) -> str:
    """What `crossed.answer()` says there."""
    (verdict,) = row["verdicts"]
    assert (verdict["check"], verdict["problems"]) == ("loader", [])
    assert row["filename"].endswith(f"-{target.platform_tag}.whl")
    script = (
        "python -m zipfile -e /wheel/*.whl /tmp/x && cd /tmp/x && python -c 'import crossed; print(crossed.answer())'"
    )
    return in_alpine("3.12", target.arch.docker, script, (row["wheel"], f"/wheel/{row['filename']}"))
