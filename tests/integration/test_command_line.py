"""The command line as a process: what `--help` may load, and what signals do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration

# All that `whb --help` loads besides the standard library. Start-up is paid by every call: think before adding.
ALLOWED = {
    "packaging",
    "wheelhouse_builder",
    "wheelhouse_builder.__main__",
    "wheelhouse_builder.cli",
    "wheelhouse_builder.cli.ci",
    "wheelhouse_builder.cli.console",
    "wheelhouse_builder.cli.options",
    "wheelhouse_builder.errors",
    "wheelhouse_builder.process",
    "wheelhouse_builder.redact",
    "wheelhouse_builder.settings",
    "wheelhouse_builder.settings.backend",
    "wheelhouse_builder.settings.container",
    "wheelhouse_builder.settings.kinds",
    "wheelhouse_builder.settings.refresh",
    "wheelhouse_builder.settings.serve",
    "wheelhouse_builder.settings_sources",
    "wheelhouse_builder.target",
}
HEAVY = {"asyncio", "email", "http", "multiprocessing", "sqlite3", "ssl", "urllib.request", "xml", "zipfile"}
LIST_MODULES = """
import contextlib, io, sys
before = set(sys.modules)
from wheelhouse_builder.cli import main
with contextlib.redirect_stdout(io.StringIO()):
    assert main(sys.argv[1:]) == 0
print("\\n".join(sorted(set(sys.modules) - before)))
"""


def loaded_by(*arguments: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", LIST_MODULES, *arguments], capture_output=True, text=True, check=True, timeout=60
    )
    return set(done.stdout.split())


@pytest.mark.parametrize("command", ["build", "plan", "verify", "doctor", ""])
def test_help_loads_little(command: str) -> None:
    modules = loaded_by(*([command] if command else []), "--help")
    third_party = {name for name in modules if name.split(".")[0] not in sys.stdlib_module_names}
    shown = {name for name in third_party if not name.startswith("packaging.")}
    own = {f"wheelhouse_builder.cli.{name}" for name in (command, "plan") if command in {"build", name}}
    assert shown <= ALLOWED | own
    assert not modules & HEAVY


SLEEPER = """
import subprocess, sys, time
from wheelhouse_builder.interrupts import cancelling
from wheelhouse_builder.process import Canceller
canceller = Canceller()
with cancelling(canceller):
    child = subprocess.Popen(["sleep", "1000"], start_new_session=True)
    print(child.pid, flush=True)
    while not canceller.cancelled or "--stubborn" in sys.argv:
        time.sleep(0.01)
        if canceller.cancelled and not "--said" in sys.argv:
            print("cancelled", flush=True)
            sys.argv.append("--said")
child.kill()
child.wait()
sys.exit(130)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_asks(number: signal.Signals) -> None:
    with subprocess.Popen([sys.executable, "-c", SLEEPER], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(number)
        assert process.wait(60) == 130


def test_the_second_signal_ends_it_and_its_children() -> None:
    command = [sys.executable, "-c", SLEEPER, "--stubborn"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == "cancelled\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == -signal.SIGINT
        assert ended(child)


def ended(pid: int) -> bool:
    """Whether the process is gone, or dead and waiting for its parent; it may take a moment."""
    for _ in range(1000):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state == "Z":
            return True
        time.sleep(0.01)
    os.kill(pid, signal.SIGKILL)
    return False


def test_a_reader_that_goes_away_is_no_error() -> None:
    command = f"{sys.executable} -m wheelhouse_builder build -P cffi --show-settings --color never | true"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True, timeout=60)
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("redirection", "code"), [(">/dev/full", 4), (">&-", 0), ("2>&-", 0), ("--json >/dev/full", 4), ("--json >&-", 0)]
)
def test_an_output_that_takes_nothing_is_no_traceback(redirection: str, code: int) -> None:
    command = f"{sys.executable} -m wheelhouse_builder build -P cffi --show-settings --color never {redirection}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == code
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("error: No space left on device\n") is (code == 4)
