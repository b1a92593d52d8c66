"""What `whb init` writes, run as its service would: GitHub's workflow, GitLab's job, systemd's unit, cron's line."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.integration.projects import c_extension, sdist
from tests.integration.workflow import Runner, load_workflow
from wheelhouse_builder.process import base_environment

if TYPE_CHECKING:
    from tests.integration.conftest import Whb

pytestmark = pytest.mark.integration

BIN = Path(sys.executable).parent
# What timers give a job; the proxies and certificates of this machine are added, as its owner would in the unit.
NEXT_TO_NOTHING = {**base_environment(), "PATH": "/usr/bin:/bin", "WHB_VERIFY_ENGINE": "off"}
GITHUB, GITLAB = ".github/workflows/wheelhouse.yml", ".gitlab/wheelhouse.yml"


@pytest.fixture
def project(whb: Whb, tmp_path: Path) -> Path:
    """A folder with a package to build, and all that `whb init` makes."""
    folder = tmp_path / "a project"
    folder.mkdir()
    sdist(folder, "tiny-night", c_extension("tiny-night"))
    (folder / "requirements.txt").write_text("./tiny_night-1.0.tar.gz\n")
    whb.ok("init", "--github", "--gitlab", "--systemd", "--cron", "--python", "3.12", cwd=folder)
    return folder


def run(argv: list[str], **more: object) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, check=False, **more)  # type: ignore[call-overload]
    assert done.returncode == 0, f"{argv}\n{done.stdout}\n{done.stderr}"
    return str(done.stdout + done.stderr)


def rows(report: Path) -> list[tuple[str, str, str]]:
    document = json.loads((report / "report.json").read_text())
    return [(row["name"], row["decision"], row["status"]) for row in document["rows"]]


def test_the_files_are_what_github_and_gitlab_read(project: Path) -> None:
    check = [str(BIN / "check-jsonschema"), "--builtin-schema"]
    run([*check, "vendor.github-workflows", str(project / GITHUB)])
    run(
        [
            *check,
            "vendor.gitlab-ci",
            "--data-transform",
            "gitlab-ci",
            str(project / GITLAB),
            str(project / ".gitlab-ci.yml"),
        ]
    )


def test_github_builds_each_architecture_and_publishes_one_wheelhouse(whb: Whb, project: Path, tmp_path: Path) -> None:
    """What the jobs of the architectures built comes to the wheelhouse unbuilt; the next night finds nothing to do."""
    workflow = load_workflow(project / GITHUB)
    runner = Runner(project=project, folder=tmp_path / "runner", cache=whb.cache)
    first = runner.run(workflow)
    assert {title: job.failed for title, job in first.items()} == {
        "build amd64": False,
        "build arm64": False,
        "refresh": False,
    }, "\n".join(job.said for job in first.values())
    assert rows(first["build arm64"].workspace / "whb-report") == [("tiny-night", "build", "ready")]
    assert rows(first["refresh"].workspace / "whb-report") == [("tiny-night", "reuse", "ready")] * 2
    assert "::group::build" in first["refresh"].said
    assert (first["refresh"].workspace / "summary.md").read_text()
    with tarfile.open(runner.artifacts["wheelhouse"] / "wheelhouse.tar") as archive:
        archive.extractall(tmp_path / "handed on", filter="tar")
    wheels = sorted(path.name.split("-")[-1] for path in (tmp_path / "handed on/wheelhouse").glob("*.whl"))
    assert wheels == ["musllinux_1_2_aarch64.whl", "musllinux_1_2_x86_64.whl"]
    assert (tmp_path / "handed on/wheelhouse/simple/tiny-night/index.html").is_file()
    second = runner.run(workflow)
    assert [job.failed for job in second.values()] == [False] * 3
    assert "generation 1, unchanged" in second["refresh"].said


def test_gitlab_runs_the_job(whb: Whb, project: Path) -> None:
    job = load_workflow(project / GITLAB)["wheelhouse"]
    env = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "CI_PROJECT_DIR": str(project), "GITLAB_CI": "true"}
    env |= {"WHB_VERIFY_ENGINE": "off", **{name: os.path.expandvars(text) for name, text in job["variables"].items()}}
    env["WHB_CACHE_DIR"] = str(whb.cache)  # with toolchains
    said = run(["sh", "-ec", "\n".join([*job["before_script"], *job["script"]])], cwd=project, env=env)
    assert re.search(r"\x1b\[0Ksection_start:\d+:whb_build[\r\n]\x1b\[0Kbuild\n", said)
    for path in job["artifacts"]["paths"]:
        assert (project / path).is_dir()
    assert rows(project / "whb-report") == [("tiny-night", "build", "ready")] * 2


def test_systemd_takes_the_units(project: Path) -> None:
    units = sorted((project / "systemd").iterdir())
    said = run(["systemd-analyze", "verify", "--recursive-errors=yes", *map(str, units)])
    assert "whb-refresh" not in said  # it warns of what it does not know, and goes on
    calendar = re.search(r"^OnCalendar=(.*)$", (project / "systemd/whb-refresh.timer").read_text(), re.MULTILINE)
    assert calendar
    assert "02:00:00" in run(["systemd-analyze", "calendar", calendar[1]])


def test_systemd_starts_a_refresh(whb: Whb, project: Path) -> None:
    """With the variables that the unit names; the cache is another, since that of the unit has no toolchains here."""
    unit = dict(re.findall(r"^(\w+)=(.*)$", (project / "systemd/whb-refresh.service").read_text(), flags=re.MULTILINE))
    command = shlex.split(unit["ExecStart"].replace("%%", "%").replace("$$", "$"))
    path = unit["Environment"].strip('"').removeprefix("PATH=")  # the last of its kind
    run(command, cwd=unit["WorkingDirectory"], env={**NEXT_TO_NOTHING, "WHB_CACHE_DIR": str(whb.cache), "PATH": path})
    assert rows(project / "whb-report") == [("tiny-night", "build", "ready")] * 2


def test_cron_is_quiet_until_something_fails(whb: Whb, project: Path) -> None:
    """cron mails what a job prints; it runs it by `sh`, in the home folder, with next to no variables."""
    line = (project / "whb-refresh.cron").read_text().splitlines()[-1]
    command = line.split(" ", 5)[5].replace("\\%", "%")
    env = {**NEXT_TO_NOTHING, "WHB_CACHE_DIR": str(whb.cache)}
    assert run(["/bin/sh", "-c", command], cwd="/", env=env) == ""
    assert rows(project / "whb-report") == [("tiny-night", "build", "ready")] * 2
    (project / "requirements.txt").write_text("./gone-1.0.tar.gz\n")
    done = subprocess.run(["/bin/sh", "-c", command], cwd="/", env=env, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "gone-1.0" in done.stderr
