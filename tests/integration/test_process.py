"""`process.run`, for real: output, failures, time limits, cancellation, and what a child gets from its parent."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from wheelhouse_builder.errors import Cancelled, JobError, MachineError
from wheelhouse_builder.process import Canceller, base_environment, limited, run, tail_of

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.integration

PATIENCE_SECONDS = 30.0
# Starts a grandchild, writes both process numbers, and sleeps.
FAMILY = "sleep 300 & echo $$ $! > family; wait"
# The same with a shell that ignores polite requests.
STUBBORN = "trap '' TERM; sleep 300 & echo $$ $! > family; while :; do sleep 1; done"


@pytest.fixture
def env() -> dict[str, str]:
    return base_environment()


def eventually(holds: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.02)
    return holds()


def runs(pid: int) -> bool:
    """Whether the process is there and no zombie."""
    with suppress(FileNotFoundError, ProcessLookupError):
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        return state != "Z"
    return False


def family(folder: Path) -> list[int]:
    """The process numbers that FAMILY wrote."""
    file = folder / "family"
    assert eventually(lambda: file.is_file() and len(file.read_text().split()) == 2)
    return [int(pid) for pid in file.read_text().split()]


def test_the_output_is_returned(env: dict[str, str]) -> None:
    done = run(["sh", "-c", "printf 'caf\\303\\251\\n'; echo no >&2"], env=env)
    assert done.output == "café\n"
    assert done.seconds > 0


def test_output_that_is_no_text_does_not_matter(env: dict[str, str]) -> None:
    assert run(["sh", "-c", "printf '\\377ok'"], env=env).output == "\N{REPLACEMENT CHARACTER}ok"


def test_a_large_output_on_both_streams_does_not_block(env: dict[str, str]) -> None:
    script = "import sys; sys.stderr.write('e' * 2_000_000); sys.stdout.write('o' * 2_000_000)"
    assert len(run([sys.executable, "-c", script], env=env).output) == 2_000_000


def test_a_log_gets_the_command_and_both_streams(env: dict[str, str], tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("before\n")
    done = run(["sh", "-c", "echo out; echo err >&2"], env=env, log=log)
    assert done.output == ""
    assert log.read_text() == "before\n$ sh -c echo out; echo err >&2\nout\nerr\n"


def test_it_runs_in_the_folder_that_is_given(env: dict[str, str], tmp_path: Path) -> None:
    assert run(["pwd"], env=env, cwd=tmp_path).output == f"{tmp_path.resolve()}\n"


def test_an_exit_code_is_an_error_with_what_was_said(env: dict[str, str]) -> None:
    with pytest.raises(JobError, match="the step failed with exit code 3") as caught:
        run(["sh", "-c", "echo why >&2; exit 3"], env=env, what="the step")
    assert caught.value.tail == "why"


def test_an_exit_code_that_means_something_is_told(env: dict[str, str]) -> None:
    assert run(["sh", "-c", "exit 5"], env=env, accepted=(0, 5)).exit_code == 5
    with pytest.raises(JobError, match="exit code 6"):
        run(["sh", "-c", "exit 6"], env=env, accepted=(0, 5))


def test_the_lines_of_a_log_are_told_while_the_program_runs(env: dict[str, str], tmp_path: Path) -> None:
    """Half a line is no line yet. The program ends when its second line was heard."""
    log, said = tmp_path / "log", list[str]()
    log.write_text("from before\n")

    def hear(line: str) -> None:
        said.append(line)
        if line == "two":
            (tmp_path / "heard").touch()

    command = "echo one; printf t; sleep 0.2; echo wo; while ! [ -e heard ]; do sleep 0.01; done; echo three"
    run(["sh", "-c", command], env=env, cwd=tmp_path, log=log, timeout=PATIENCE_SECONDS, each_line=hear)
    assert said == ["one", "two", "three"]


def test_without_words_on_stderr_the_output_is_the_tail(env: dict[str, str]) -> None:
    with pytest.raises(JobError, match="sh failed with exit code 1") as caught:
        run(["sh", "-c", "echo why; exit 1"], env=env)
    assert caught.value.tail == "why"


def test_with_a_log_its_end_is_the_tail(env: dict[str, str], tmp_path: Path) -> None:
    log = tmp_path / "log"
    with pytest.raises(JobError) as caught:
        run(["sh", "-c", "seq 1000; exit 1"], env=env, log=log)
    assert caught.value.log == log
    assert caught.value.tail == "\n".join(map(str, range(976, 1001))) == tail_of(log)


def test_a_death_by_signal_is_an_error(env: dict[str, str]) -> None:
    with pytest.raises(JobError, match="exit code -9"):
        run(["sh", "-c", "kill -9 $$"], env=env)


def test_a_missing_program_is_named(env: dict[str, str]) -> None:
    with pytest.raises(MachineError, match="'no-such-program' is not there") as caught:
        run(["no-such-program"], env=env)
    assert caught.value.hint == "`whb doctor` says what is missing"


def test_a_program_for_another_machine_is_named(env: dict[str, str], tmp_path: Path) -> None:
    program = tmp_path / "foreign"
    program.write_bytes(b"\x7fELF\x02\x01\x01" + bytes(57))
    program.chmod(0o755)
    with pytest.raises(MachineError, match="foreign cannot be started: Exec format error"):
        run([program], env=env)


def test_a_time_limit_ends_the_whole_family(env: dict[str, str], tmp_path: Path) -> None:
    log = tmp_path / "log"
    with pytest.raises(JobError, match=r"the step took longer than 2 s") as caught:
        run(["sh", "-c", FAMILY], env=env, cwd=tmp_path, timeout=2, what="the step", log=log)
    assert (caught.value.log, caught.value.kind) == (log, "time-out")
    assert eventually(lambda: not any(map(runs, family(tmp_path))))


def test_it_ends_a_family_that_does_not_listen(env: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(JobError, match="took longer"):
        run(["sh", "-c", STUBBORN], env=env, cwd=tmp_path, timeout=2)
    assert eventually(lambda: not any(map(runs, family(tmp_path))))


def test_a_limit_is_for_all_that_runs_under_it(env: dict[str, str], tmp_path: Path) -> None:
    canceller = Canceller()
    with limited(3, "its limit is 3 s"):
        run(["sleep", "0.5"], env=env, canceller=canceller)
        with pytest.raises(JobError, match=r"^sh was ended, the job took too long: its limit is 3 s$") as caught:
            run(["sh", "-c", FAMILY], env=env, cwd=tmp_path, canceller=canceller)
        with pytest.raises(JobError, match="took too long"):
            run(["sleep", "300"], env=env, canceller=canceller)
    assert caught.value.kind == "time-out"
    assert eventually(lambda: not any(map(runs, family(tmp_path))))


def test_what_cleans_up_has_the_time_that_it_needs(env: dict[str, str], tmp_path: Path) -> None:
    """When the limit is over, too: that is when a container has to be removed."""
    with limited(0, "no time"):
        run(["sh", "-c", "sleep 0.2; touch cleaned"], env=env, cwd=tmp_path)
    assert (tmp_path / "cleaned").exists()


def test_a_limit_holds_no_other_thread_up_and_nothing_later(env: dict[str, str]) -> None:
    canceller, ended = Canceller(), []
    thread = threading.Thread(target=lambda: ended.append(run(["sleep", "0.2"], env=env, canceller=canceller)))
    with limited(0, "no time"):
        thread.start()
        thread.join(PATIENCE_SECONDS)
    run(["sleep", "0.2"], env=env, canceller=canceller)
    assert len(ended) == 1


METERING = """
import sys
from wheelhouse_builder.errors import JobError
from wheelhouse_builder.process import base_environment, metered, run
env = base_environment()
with metered() as meter:
    run(["true"], env=env)
    print(meter.peak)
    try:
        run(["sh", "-c", f"{sys.executable} -I -c 'x = bytearray([1]) * (300 << 20)'; exit 1"], env=env)
    except JobError:
        print(meter.peak)
"""


def test_the_largest_that_ran_is_metered() -> None:
    """Also where it is not the program itself, but a child of it, and where it fails.

    By a small process: Linux counts what had the memory before exec, and the tests' own process is large.
    """
    done = subprocess.run([sys.executable, "-c", METERING], capture_output=True, text=True, check=True, timeout=60)
    small, large = map(int, done.stdout.split())
    assert small < 100 << 20
    assert 300 << 20 < large < 400 << 20


@pytest.mark.parametrize("log", [None, "log"])
def test_cancelling_from_another_thread_ends_the_whole_family(
    env: dict[str, str], tmp_path: Path, log: str | None
) -> None:
    canceller, caught = Canceller(), []

    def work() -> None:
        with pytest.raises(Cancelled) as raised:
            run(["sh", "-c", FAMILY], env=env, cwd=tmp_path, canceller=canceller, log=tmp_path / log if log else None)
        caught.append(raised.value)

    thread = threading.Thread(target=work)
    thread.start()
    pids = family(tmp_path)
    assert all(map(runs, pids))
    canceller.cancel()
    thread.join(PATIENCE_SECONDS)
    assert [str(error) for error in caught] == ["interrupted"]
    assert eventually(lambda: not any(map(runs, pids)))


def test_nothing_starts_after_cancelling(env: dict[str, str], tmp_path: Path) -> None:
    canceller = Canceller()
    canceller.cancel()
    with pytest.raises(Cancelled):
        run(["touch", "started"], env=env, cwd=tmp_path, canceller=canceller)
    assert not (tmp_path / "started").exists()


@pytest.mark.parametrize("code", [0, 1])
def test_what_a_program_leaves_behind_is_ended_with_it(env: dict[str, str], tmp_path: Path, code: int) -> None:
    with suppress(JobError):
        run(["sh", "-c", f"sleep 300 & echo $$ $! > family; exit {code}"], env=env, cwd=tmp_path)
    assert eventually(lambda: not any(map(runs, family(tmp_path))))


def test_a_daemon_that_keeps_the_output_open_holds_nobody_up(env: dict[str, str], tmp_path: Path) -> None:
    """One that left the process group, such as the server of a compiler cache."""
    script = "setsid sh -c 'echo $$ 0 > family; exec sleep 300' & while ! [ -s family ]; do sleep 0.01; done; echo done"
    done = run(["sh", "-c", script], env=env, cwd=tmp_path, timeout=PATIENCE_SECONDS)
    assert done.output == "done\n"
    daemon, _ = family(tmp_path)
    assert runs(daemon)
    os.kill(daemon, 9)


def test_the_environment_is_what_is_given_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_TOKEN", "secret")
    script = "import json, os; print(json.dumps(dict(os.environ)))"
    output = run([sys.executable, "-I", "-c", script], env={"A": "1", "LC_ALL": "C.UTF-8"}).output
    assert output == '{"A": "1", "LC_ALL": "C.UTF-8"}\n'


def test_little_of_the_own_environment_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    steering = ("LD_PRELOAD", "LD_LIBRARY_PATH", "CFLAGS", "CC", "PYTHONPATH", "PYTHONHOME", "GITHUB_TOKEN", "HOME")
    for name in (*steering, "AWS_SECRET_ACCESS_KEY", "UV_INDEX", "PIP_INDEX_URL", "CARGO_HOME", "WHB_CACHE_DIR"):
        monkeypatch.setenv(name, "secret")
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy:3128")
    passed = base_environment({"MORE": "1"})
    assert "secret" not in passed.values()
    assert passed["PATH"] == os.environ["PATH"]
    assert passed["HTTPS_PROXY"] == "http://proxy:3128"
    assert passed["MORE"] == "1"


def test_standard_input_is_empty(env: dict[str, str]) -> None:
    assert run([sys.executable, "-c", "import sys; print(repr(sys.stdin.read()))"], env=env).output == "''\n"


def test_no_file_of_ours_is_open_in_it(env: dict[str, str], tmp_path: Path) -> None:
    with (tmp_path / "ours").open("w"):
        listing = run([sys.executable, "-c", "import os; print(os.listdir('/proc/self/fd'))"], env=env, log=None)
    assert listing.output == "['0', '1', '2', '3']\n"  # 3 is the folder itself


def test_it_leaves_no_file_open(env: dict[str, str]) -> None:
    run(["true"], env=env)
    before = os.listdir("/proc/self/fd")  # noqa: PTH208 - names are enough
    for _ in range(5):
        run(["true"], env=env)
    assert os.listdir("/proc/self/fd") == before  # noqa: PTH208


def test_no_shell_reads_the_arguments(env: dict[str, str], tmp_path: Path) -> None:
    arguments = ["$HOME", "`id`", "a b", ";", "*"]
    script = "import sys; print(sys.argv[1:])"
    assert run([sys.executable, "-c", script, *arguments], env=env, cwd=tmp_path).output == f"{arguments}\n"
