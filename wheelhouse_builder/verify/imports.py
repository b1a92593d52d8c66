"""The import check: install wheels in real Alpine, without network or compiler, and import what they bring."""

from __future__ import annotations

import json
import os
import platform
import shutil
import tempfile
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wheelhouse_builder.errors import JobError
from wheelhouse_builder.verify.alpine import FOLDER
from wheelhouse_builder.verify.verdict import Check, Method, Verdict

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from wheelhouse_builder.process import Canceller
    from wheelhouse_builder.target import Target
    from wheelhouse_builder.verify.alpine import Alpine

# Generous: QEMU is ten times slower than the processor that it stands for.
_PIP_SECONDS = 900
_IMPORT_SECONDS = 300
_DRIVER = "inside.py"


def check_imports(
    wheels: Sequence[Path],
    target: Target,
    alpine: Alpine,
    *,
    wanted: Collection[str] | None = None,
    log: Path,
    canceller: Canceller | None = None,
) -> dict[str, Verdict]:
    """Whether `wheels` (one version of each project) install and import; file name → verdict.

    `wanted` names the files that need a verdict (None: all); the rest are there as dependencies. One container serves
    them all. A module that asks for another module that is in none of the wheels is a note. What pip and the imports
    printed is appended to `log`. Raises `JobError` if the check itself could not be done, `Cancelled`.
    """
    names = [wheel.name for wheel in wheels]
    judged = [name for name in names if wanted is None or name in wanted]
    if not judged:
        return {}
    request: dict[str, Any] = {"folder": FOLDER, "wheels": names, "wanted": judged}
    request |= {"pip_seconds": _PIP_SECONDS, "import_seconds": _IMPORT_SECONDS}
    timeout = _PIP_SECONDS * (len(names) + 1) + _IMPORT_SECONDS * len(judged)  # if everything hangs
    with tempfile.TemporaryDirectory(prefix="whb-imports-") as folder:
        _stage(wheels, Path(folder))
        command = ["python3", f"{FOLDER}/{_DRIVER}", json.dumps(request)]
        output = alpine.run(command, folder=Path(folder), timeout=timeout, canceller=canceller)
    answer = _answer(output, judged, alpine)
    with log.open("a", encoding="utf-8") as stream:
        stream.write(f"== imports for {target} in {alpine.name}\n{answer['log']}\n")
    return {name: _verdict(answer["results"][name], target, alpine) for name in judged}


def _stage(wheels: Sequence[Path], folder: Path) -> None:
    """Put the wheels and the driver into one folder; the wheels as hard links where that works."""
    for wheel in wheels:
        try:
            os.link(wheel, folder / wheel.name)
        except OSError:
            shutil.copyfile(wheel, folder / wheel.name)
    driver = resources.files(__package__) / _DRIVER
    (folder / _DRIVER).write_text(driver.read_text(encoding="utf-8"), encoding="utf-8")


def _answer(output: str, judged: Sequence[str], alpine: Alpine) -> dict[str, Any]:
    try:
        answer: dict[str, Any] = json.loads(output.splitlines()[-1])
        missing = [name for name in judged if name not in answer["results"]]
    except (ValueError, LookupError, TypeError) as error:
        raise JobError(f"the import check in {alpine.name} gave no answer", tail=output[-2000:]) from error
    if missing:
        raise JobError(f"the import check in {alpine.name} gave no answer for {', '.join(missing)}")
    return answer


def _verdict(result: dict[str, list[str]], target: Target, alpine: Alpine) -> Verdict:
    return Verdict(
        check=Check.IMPORT,
        target=str(target),
        method=Method.NATIVE if platform.machine() == target.arch else Method.QEMU,
        environment=alpine.name,
        problems=tuple(result["problems"]),
        notes=tuple(result["notes"]),
    )
