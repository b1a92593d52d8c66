"""The half of the import check that runs inside Alpine: standard library only, a file of its own, started by path.

    python3 inside.py '{"folder": "/tmp/wheels", "wheels": […], "wanted": […], "pip_seconds": n, "import_seconds": n}'

installs the wheels with pip and no index, imports what each wanted one brings, and prints
`{"results": {file name: {"problems": […], "notes": […]}}, "log": "…"}`. Each wheel is imported in a process of its
own, so a crash or a hang is that wheel's only.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import importlib
import importlib.metadata
import json
import os
import re
import signal
import site
import subprocess
import sys
import tempfile
import traceback
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import Any

_LOG_LIMIT = 20_000  # characters kept of one step's output


def main(request: dict[str, Any]) -> dict[str, Any]:
    """Install, import, and return what is to be printed."""
    target = tempfile.mkdtemp()
    log: list[str] = []
    broken = _install(request, target, log)
    wanted: list[str] = request["wanted"]
    results: dict[str, Any] = {name: {"problems": [broken[name]], "notes": []} for name in wanted if name in broken}
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        checks = {name: pool.submit(_check, name, target, request) for name in wanted if name not in broken}
    for name, future in checks.items():
        results[name], text = future.result()
        log.append(f"== {name}\n{text}")
    return {"results": results, "log": "\n".join(log)}


def _install(request: dict[str, Any], target: str, log: list[str]) -> dict[str, str]:
    """All wheels at once; if pip refuses, one by one to learn which. Returns file name → why not."""
    names: list[str] = request["wheels"]
    why = _pip(names, request, target, log)
    if why is None:
        return {}
    if len(names) == 1:
        return {names[0]: why}
    reasons = {name: _pip([name], request, target, log) for name in names}
    return {name: reason for name, reason in reasons.items() if reason is not None}


def _pip(names: list[str], request: dict[str, Any], target: str, log: list[str]) -> str | None:
    folder = request["folder"]
    command = [sys.executable, "-m", "pip", "install", "--no-index", "--find-links", folder, "--no-deps"]
    command += ["--no-compile", "--no-cache-dir", "--disable-pip-version-check", "--root-user-action", "ignore"]
    command += ["--target", target, *(f"{folder}/{name}" for name in names)]
    status, text = _run(command, request["pip_seconds"])
    log.append(f"== pip install {' '.join(names)}\n{text}")
    if status == 0:
        return None
    errors = [line.removeprefix("ERROR: ") for line in text.splitlines() if line.startswith("ERROR: ")]
    return f"pip does not install it: {errors[-1] if errors else _ending(status)}"


def _check(name: str, target: str, request: dict[str, Any]) -> tuple[dict[str, list[str]], str]:
    """Import one wheel in a process of its own; returns its result and what was printed."""
    with tempfile.TemporaryDirectory() as scratch:
        answer = Path(scratch, "answer")
        answer.touch()
        command = [sys.executable, "-I", "-S", __file__, "--import", name, target, str(answer)]
        status, text = _run(command, request["import_seconds"])
        lines = [json.loads(line) for line in answer.read_text(encoding="utf-8").splitlines()]
    problems = [line["problem"] for line in lines if "problem" in line]
    if status != 0:
        current = [f"import {line['importing']}: " for line in lines if "importing" in line]
        problems.append(f"{current[-1] if current else ''}{_ending(status)}")
    return {"problems": problems, "notes": [line["note"] for line in lines if "note" in line]}, text


def _run(command: list[str], seconds: float) -> tuple[int | None, str]:
    """Exit status (None: took too long) and what was printed."""
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True, cwd="/"
        )
        try:
            status: int | None = process.wait(seconds)
        except subprocess.TimeoutExpired:
            status = None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        output.seek(0)
        return status, output.read().decode(errors="replace")[-_LOG_LIMIT:]


def _ending(status: int | None) -> str:
    if status is None:
        return "took too long and was stopped"
    if status < 0:
        return f"the interpreter crashed ({signal.Signals(-status).name})"
    return f"the interpreter ended with exit code {status}"


class Importer:
    """The imports of one installed wheel; each finding is one JSON line of the answer file, written at once."""

    def __init__(self, files: list[str], answer: Path) -> None:
        self.files = files
        self.answer = answer

    def tell(self, **what: str) -> None:
        with self.answer.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(what) + "\n")

    def import_all(self) -> None:
        modules = modules_of(self.files)
        if not modules:
            self.tell(note="nothing to import")
        for module in modules:
            self.tell(importing=module)
            self.import_one(module)

    def import_one(self, module: str) -> None:
        try:
            importlib.import_module(module)
        except ModuleNotFoundError as error:
            if error.name and not self.provides(error.name):
                self.tell(note=f"import {module}: wants {error.name}, which is not in the wheel")
            else:
                self.tell(problem=f"import {module}: {_last_line(error)}")
        except BaseException as error:  # a module may raise SystemExit, pytest's Skipped …
            traceback.print_exc()
            bare = f"{module.replace('.', '/')}.so" in self.files  # no ABI in the name: perhaps meant for ctypes
            if bare and "does not define module export function" in str(error):
                self.tell(note=f"{module}: loads, and is a library, not a module")
            else:
                self.tell(problem=f"import {module}: {_last_line(error)}")

    def provides(self, module: str) -> bool:
        """Whether a module is the wheel's own to bring: it does, or it has a regular package above it."""
        path = module.replace(".", "/")
        above = [path[:end] for end, char in enumerate(path) if char == "/"]
        own = (f"{path}/", f"{path}.", *(f"{folder}/__init__." for folder in above))
        return any(file.startswith(own) for file in self.files)


def _last_line(error: BaseException) -> str:
    return traceback.format_exception_only(error)[-1].strip()


def modules_of(files: list[str]) -> list[str]:
    """The modules to import: top-level ones, the first packages below namespace folders, and all extension modules."""
    packages = {file.removesuffix("/__init__.py") for file in files if file.endswith("/__init__.py")}
    modules = set()
    for file in files:
        *folders, base = file.split("/")
        module, _, suffix = base.partition(".")
        if not all(part.isidentifier() for part in [*folders, module]):
            continue
        within = any("/".join(folders[:depth]) in packages for depth in range(1, len(folders)))
        if base == "__init__.py" and folders and not within:
            modules.add(".".join(folders))
        elif suffix == "py" and not folders and module != "__main__":
            modules.add(module)
        elif f".{suffix}" in EXTENSION_SUFFIXES:
            modules.add(".".join([*folders, module] if module != "__init__" else folders))
    return sorted(modules)


def installed_files(wheel: str, target: str) -> list[str]:
    """What RECORD says was installed from a wheel, as paths relative to the target folder."""
    wanted = _normalized(wheel.partition("-")[0])
    for distribution in importlib.metadata.distributions(path=[target]):
        if _normalized(distribution.metadata["Name"]) == wanted:
            return [file.as_posix() for file in distribution.files or ()]
    raise SystemExit(f"{wheel} was installed, but there is no distribution {wanted}")


def _normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _import_wheel(wheel: str, target: str, answer: str) -> None:
    site.addsitedir(target)  # with its .pth files; -S has kept the image's own packages out
    Importer(installed_files(wheel, target), Path(answer)).import_all()
    sys.stdout.flush()
    os._exit(0)  # what a module does at exit (threads, atexit) is no part of the question


if __name__ == "__main__":
    if sys.argv[1] == "--import":
        _import_wheel(*sys.argv[2:])
    else:
        print(json.dumps(main(json.loads(sys.argv[1]))))
