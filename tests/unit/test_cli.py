"""The command line: help, errors, exit codes, JSON, and what is printed where."""

from __future__ import annotations

import errno
import hashlib
import json
import sys
import tomllib
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import pytest
from packaging.requirements import Requirement

from tests.unit.test_table import REPORT, ROWS
from wheelhouse_builder import __version__
from wheelhouse_builder.cli import _EXTRAS, COMMANDS, command_parser, main
from wheelhouse_builder.cli.options import PLANNING
from wheelhouse_builder.errors import Cancelled, DamagedError, JobError, MachineError, ResolveError, UsageError
from wheelhouse_builder.events import JobStarted
from wheelhouse_builder.plan import Action, Decision, Plan
from wheelhouse_builder.report.model import Status
from wheelhouse_builder.settings import OPTIONS, Settings
from wheelhouse_builder.target import Target

if TYPE_CHECKING:
    from collections.abc import Callable

    from wheelhouse_builder.events import Listener
    from wheelhouse_builder.process import Canceller

HELP = """\
usage: whb COMMAND [OPTIONS]

Builds the musllinux wheels that are missing, proves that they load on Alpine, and publishes a wheelhouse.

options:
  -h, --help  show this help message and exit
  --version   show program's version number and exit

commands:
@

exit codes: 0 all there, 1 some jobs failed, 2 wrong usage or settings, 3 cannot be resolved,
4 this machine lacks something, 5 wheelhouse or index is damaged, 130 interrupted (safe to run again)

`whb COMMAND --help` says more about one.
"""


NOTHING_HINT = "name a requirements file, the folder of a project, a package with -P, or `requirements` in whb.toml"


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    for name in (
        "NO_COLOR",
        "FORCE_COLOR",
        "GITHUB_ACTIONS",
        "GITLAB_CI",
        *(option.variable for option in OPTIONS.values()),
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


@pytest.fixture
def fake_run(monkeypatch: pytest.MonkeyPatch) -> Callable[[object], list[Settings]]:
    """Make `build_run` and `plan_run` return a value or raise an exception; the list fills with their settings."""
    seen: list[Settings] = []

    def install(outcome: object) -> list[Settings]:
        def run(settings: Settings, *, listener: Listener, canceller: Canceller, fixes: bool = False) -> object:
            seen.append(settings)
            listener(JobStarted(job="j", title="a job"))
            if isinstance(outcome, BaseException):
                raise outcome
            return outcome

        module = ModuleType("wheelhouse_builder.run")
        module.build_run = module.plan_run = run  # type: ignore[attr-defined]  # a stand-in
        monkeypatch.setitem(sys.modules, module.__name__, module)
        return seen

    return install


def test_help_is_whole(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    width = max(map(len, COMMANDS))
    listed = [f"  {name:{width}}  {text}" for name, text in COMMANDS.items()]
    assert capsys.readouterr().out == HELP.replace("@", "\n".join(listed))


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"whb {__version__}\n"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--help"]) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"usage: whb {name} ")
    assert COMMANDS[name][1:] in " ".join(text.split())  # HTTP stays HTTP
    for flag in ("--config-file", "--show-settings", "--json", "--color", "--no-progress", "--quiet", "--verbose"):
        assert flag in text


def test_build_has_every_flag_of_the_settings(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["build", "--help"]) == 0
    text = capsys.readouterr().out
    options = [option for option in OPTIONS.values() if option.table not in {"serve", "refresh"}]
    assert [flag for option in options for flag in option.flags if flag not in text] == []
    assert {option.name for option in options if option.flags} <= set(PLANNING)


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        ([], "no command is given", "`whb --help` lists the commands"),
        (["biuld"], "unknown command 'biuld'", "did you mean build?"),
        (["xyz"], "unknown command 'xyz'", f"the commands are {', '.join(COMMANDS)}"),
        (["build"], "nothing to build is named", NOTHING_HINT),
        (
            ["build", ".", "-w", "https://me:secret@host/simple"],
            "--wheelhouse https://***@host/simple is an index, and whb works on a folder",
            "`whb publish` puts a folder where an index is served from",
        ),
        (["build", "--jbos", "3"], "unrecognized arguments: --jbos", "`whb build --help` lists the options"),
    ],
)
def test_wrong_usage(arguments: list[str], message: str, hint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert capsys.readouterr() == ("", f"error: {message}\nhint: {hint}\n")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (JobError("x"), 1),
        (UsageError("x"), 2),
        (ResolveError("x"), 3),
        (MachineError("x"), 4),
        (DamagedError("x"), 5),
        (Cancelled("x"), 130),
        (KeyboardInterrupt(), 130),
        (OSError(errno.ENOSPC, "No space left on device", "/w/a.whl"), 4),
        (PermissionError(errno.EACCES, "Permission denied", "/w"), 4),
        (ModuleNotFoundError("no httpx", name="httpx._client"), 4),
    ],
)
def test_exit_codes(
    error: BaseException, code: int, fake_run: Callable[[object], object], capsys: pytest.CaptureFixture[str]
) -> None:
    fake_run(error)
    assert main(["build", "-P", "cffi"]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert "error: " in err
    assert "Traceback" not in err


def test_a_missing_extra_is_named(fake_run: Callable[[object], object], capsys: pytest.CaptureFixture[str]) -> None:
    fake_run(ModuleNotFoundError("No module named 'httpx'", name="httpx"))
    main(["build", "-P", "cffi", "-q"])
    assert capsys.readouterr().err == (
        "error: this command needs httpx, which is not installed\nhint: pip install 'wheelhouse-builder[build]'\n"
    )


def test_each_module_belongs_to_one_extra() -> None:
    assert sum(map(len, _EXTRAS.values())) == len(set().union(*_EXTRAS.values()))


@pytest.mark.parametrize("extra", ["build", "server", "remote"])
def test_an_extra_brings_what_opening_a_wheelhouse_takes(extra: str) -> None:
    """Its lock, and zstd for its pages: who has installed one extra can index, go back and publish to a folder."""
    with (Path(__file__).parents[2] / "pyproject.toml").open("rb") as file:
        extras = tomllib.load(file)["project"]["optional-dependencies"]
    assert {"filelock", "backports.zstd"} <= {Requirement(text).name for text in extras[extra]}


def test_a_folder_is_checked_without_a_client_for_http(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delitem(sys.modules, "wheelhouse_builder.conformance.http", raising=False)
    monkeypatch.setitem(sys.modules, "httpx", None)
    (tmp_path / "simple").mkdir()
    (tmp_path / "simple" / "index.html").write_text("<!DOCTYPE html><title>x</title>")
    assert main(["check", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["schema"] == "whb.conformance/1"


def test_a_fault_of_ours_is_written_down(
    fake_run: Callable[[object], object],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    fake_run(ZeroDivisionError("by zero"))
    assert main(["build", "-P", "cffi", "-q"]) == 1
    message, hint = capsys.readouterr().err.splitlines()
    assert message == "error: internal error: ZeroDivisionError: by zero"
    assert "Traceback" in Path(hint.removeprefix("hint: please report it with ")).read_text(encoding="utf-8")


def test_a_fault_of_ours_is_shown_where_nothing_can_be_written(
    fake_run: Callable[[object], object],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """As in a container whose file system is read-only."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
    fake_run(ZeroDivisionError("by zero"))
    assert main(["build", "-P", "cffi", "-q"]) == 1
    *text, message, hint = capsys.readouterr().err.splitlines()
    assert text[0] == "Traceback (most recent call last):"
    assert message == "error: internal error: ZeroDivisionError: by zero"
    assert hint == "hint: please report it with what is above"


def test_errors_are_json_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["build", "--json", "--python", "2.7"]) == 2
    out, err = capsys.readouterr()
    assert json.loads(out)["error"]["exit_code"] == 2
    assert err.startswith("error: --python: Python 2.7 is not supported")


def test_a_failed_build(fake_run: Callable[[object], object], capsys: pytest.CaptureFixture[str]) -> None:
    fake_run(REPORT)
    assert main(["build", "-P", "cffi>=2", "--color", "never"]) == 1
    out, err = capsys.readouterr()
    shown = out.splitlines()[2].split()[:6]
    assert shown == ["cffi", "2.1.1", "cp312-musllinux_1_2_aarch64", "build", "cross", "ready"]
    assert (
        err
        == """\
start   a job

failed lxml for cp312-musllinux_1_2_aarch64: libxml2 is missing
hint: write a recipe
log: /logs/lxml.log
  | fatal error

1 of 2 ready (1 built) in 1 min 15 s
/w: generation 3, published
run the same command again after the cause is gone: what is ready is kept
install from it, with no network and no compiler:
  pip install --no-index --find-links /w cffi
  pip install --index-url file:///w/simple cffi
"""
    )


def test_what_failed_alike_on_several_targets_is_told_once(
    fake_run: Callable[[object], object], capsys: pytest.CaptureFixture[str]
) -> None:
    failed = next(row for row in ROWS if row.status is Status.FAILED)
    other = Target.parse("cp312-musllinux_1_2_x86_64")
    fake_run(replace(REPORT, rows=(failed, replace(failed, target=other), replace(failed, target=other, kind="rust"))))
    main(["build", "-P", "cffi", "--color", "never"])
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("failed ")]
    assert told == [f"failed lxml for {failed.target}, {other}: {failed.message}", told[1]]
    assert told[1].startswith(f"failed lxml for {other}: ")


def test_a_failed_build_is_annotated_on_github(
    fake_run: Callable[[object], object], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    fake_run(REPORT)
    main(["build", "-P", "cffi", "-q"])
    expected = "::error title=lxml failed::libxml2 is missing%0Awrite a recipe%0Atargets: cp312-musllinux_1_2_aarch64"
    assert expected in capsys.readouterr().err.splitlines()


def test_quiet_shows_what_failed(fake_run: Callable[[object], object], capsys: pytest.CaptureFixture[str]) -> None:
    fake_run(REPORT)
    main(["build", "-P", "cffi", "-q"])
    out, err = capsys.readouterr()
    assert [line.split()[0] for line in out.splitlines()] == ["package", "-------", "lxml"]
    assert "ready" not in err


def test_a_good_build(fake_run: Callable[[object], list[Settings]], capsys: pytest.CaptureFixture[str]) -> None:
    wheelhouse = Path("wheelhouse").absolute()
    report = replace(REPORT, rows=ROWS[:1], wheelhouse=wheelhouse, generation=1, changed=False)
    seen = fake_run(report)
    assert main(["build", "a/r.txt", "--json", "--python", "3.12", "--arch", "arm64"]) == 0
    assert seen[0].targets == (ROWS[0].target,)
    out, err = capsys.readouterr()
    assert json.loads(out)["schema"] == "whb.report/1"
    assert "  pip install --no-index --find-links wheelhouse -r a/r.txt\n" in err
    assert "wheelhouse: generation 1, as it was\n" in err


@pytest.mark.parametrize("arguments", [["-P", "./cffi-2.1.1.tar.gz"], ["."]])
def test_after_a_build_of_a_path_pip_is_given_names(
    arguments: list[str], fake_run: Callable[[object], object], capsys: pytest.CaptureFixture[str]
) -> None:
    fake_run(REPORT)
    main(["build", *arguments])
    assert "  pip install --no-index --find-links /w cffi\n" in capsys.readouterr().err


def test_where_nothing_is_ready_pip_is_not_named(
    fake_run: Callable[[object], object], capsys: pytest.CaptureFixture[str]
) -> None:
    fake_run(replace(REPORT, rows=ROWS[1:], changed=False))
    assert main(["build", "-P", "lxml"]) == 1
    assert "pip install" not in capsys.readouterr().err


def test_a_plan(fake_run: Callable[[object], object], capsys: pytest.CaptureFixture[str]) -> None:
    row = ROWS[0]
    possible = Decision(name=row.name, version=row.version, target=row.target, action=Action.BUILD, reason="asked for")
    fake_run(Plan(decisions=(possible,)))
    assert main(["plan", "-P", "cffi"]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[-1].endswith("build     unknown   asked for")
    assert err.endswith("\n1 build; 0 jobs\n")


def test_a_plan_with_something_impossible(fake_run: Callable[[object], object]) -> None:
    row = ROWS[0]
    decision = Decision(name=row.name, version=None, target=row.target, action=Action.IMPOSSIBLE, reason="no sdist")
    fake_run(Plan(decisions=(decision,)))
    assert main(["plan", "-P", "cffi", "--json"]) == 1


def test_show_settings(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "a.txt", "--arch", "arm64", "b.txt", "--show-settings", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["settings"]["archs"] == {"value": ["aarch64"], "origin": "--arch"}
    assert [Path(text).name for text in document["settings"]["requirements"]["value"]] == ["a.txt", "b.txt"]


def test_switches_can_be_taken_back() -> None:
    options = vars(command_parser("build").parse_intermixed_args(["--no-offline", "-U"]))
    assert (options["setting:offline"], options["setting:upgrade"]) == (False, True)


def test_the_cache_is_tagged_as_one(
    fake_run: Callable[[object], object], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("WHB_CACHE_DIR", "cache")
    fake_run(Plan())
    assert main(["plan", "-P", "cffi"]) == 0
    assert (tmp_path / "cache/CACHEDIR.TAG").read_text().startswith("Signature: 8a477f597d28d172789f06886806bc55\n")
    (tmp_path / "file").touch()
    monkeypatch.setenv("WHB_CACHE_DIR", "file")
    assert main(["plan", "-P", "cffi"]) == 0


def test_a_token_is_shown_apart_from_the_lines_for_the_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["token", "ci server", "--scope", "read", "--scope", "publish", "--scope", "read"]) == 0
    out, err = capsys.readouterr()
    token = err.strip().rpartition(" ")[2]
    assert token not in out
    (entry,) = tomllib.loads(out)["token"]
    assert entry == {
        "name": "ci server",
        "sha256": hashlib.sha256(token.encode()).hexdigest(),
        "scopes": ["read", "publish"],
    }


def test_a_token_needs_a_name_that_can_be_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["token", "a\nb"]) == 2
    assert "is no name" in capsys.readouterr().err
