"""What `whb init` writes: from what it finds, over nothing that is somebody's, and meaning what it says."""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from wheelhouse_builder.cli import main
from wheelhouse_builder.errors import UsageError
from wheelhouse_builder.scaffold.render import FILES, Service, render
from wheelhouse_builder.scaffold.surroundings import Surroundings, look_around
from wheelhouse_builder.scaffold.writing import Written, write
from wheelhouse_builder.settings import OPTIONS
from wheelhouse_builder.settings_sources import load_settings
from wheelhouse_builder.target import Arch

AROUND = Surroundings(
    folder=Path("/srv/wheels"),
    requirements=("requirements.txt",),
    others=("requirements-dev.txt",),
    pythons=((3, 12), (3, 13)),
    archs=(Arch.X86_64, Arch.AARCH64),
    wheelhouse="wheelhouse",
    report="whb-report",
    user="builder",
    command=("/opt/whb/bin/whb",),
    path="/opt/python/bin:/usr/bin",
    version="1.2.3",
    settings_file=None,
)
ALL = tuple(Service)


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for option in OPTIONS.values():
        monkeypatch.delenv(option.variable, raising=False)


def found(folder: Path, **files: str) -> Surroundings:
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text, encoding="utf-8")
    return look_around(load_settings(environ={}, folder=folder), folder)


def load_yaml(text: str) -> Any:
    return yaml.load(text, Loader=yaml.BaseLoader)


# What is found


def test_requirements_txt_is_what_is_built_for(tmp_path: Path) -> None:
    around = found(tmp_path, requirements__txt="six", requirements_dev__txt="pytest", pyproject__toml="[project]\n")
    assert around.requirements == ("requirements.txt",)
    assert around.others == ("requirements_dev.txt",)


def test_without_it_all_that_are_named_like_it_are(tmp_path: Path) -> None:
    (tmp_path / "requirements").mkdir()
    (tmp_path / "requirements/base.txt").touch()
    around = found(tmp_path, requirements_web__txt="six", pyproject__toml="[project]\n")
    assert around.requirements == ("requirements/base.txt", "requirements_web.txt")


def test_a_project_without_requirements_is_built_itself(tmp_path: Path) -> None:
    assert found(tmp_path, pyproject__toml="[project]\nname = 'x'\n").requirements == (".",)
    assert found(tmp_path, pyproject__toml="[tool.ruff]\n").requirements == ()


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [("", "running"), (">=3.13", (3, 14)), (">=3.12,<3.14", (3, 13)), ("nonsense", "running"), (">=4", "running")],
)
def test_the_python_is_one_that_the_project_takes(
    wanted: str, expected: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.version_info", (3, 11, 0, "final", 0))
    around = found(tmp_path, pyproject__toml=f"[project]\nrequires-python = '{wanted}'\n")
    assert around.pythons == ((3, 11) if expected == "running" else expected,)


def test_what_the_settings_say_counts_more(tmp_path: Path) -> None:
    around = found(
        tmp_path,
        requirements__txt="six",
        whb__toml="requirements = ['other.txt']\npythons = ['3.12']\nwheelhouse = '/srv/w'\n[refresh]\nreport = 'r'\n",
    )
    assert (around.requirements, around.pythons, around.wheelhouse) == (("other.txt",), ((3, 12),), "/srv/w")
    assert (around.report, around.settings_file) == ("r", "whb.toml")


def test_a_pyproject_that_is_no_toml_is_told(tmp_path: Path) -> None:
    settings = load_settings(environ={}, folder=tmp_path)
    (tmp_path / "pyproject.toml").write_text("[project", encoding="utf-8")
    with pytest.raises(UsageError, match=r"pyproject.toml: "):
        look_around(settings, tmp_path)


def test_programs_are_found_as_now(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Timers have next to no PATH, and neither its shell's Pythons nor Rust. What is relative means nothing there."""
    monkeypatch.setenv("PATH", "/a:bin::/b:/a")
    around = found(tmp_path)
    assert around.path == "/a:/b"
    assert 'Environment="PATH=/a:/b"\n' in render(around, [Service.SYSTEMD])["systemd/whb-refresh.service"]


def test_a_user_without_a_name_is_a_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.getuid", lambda: 4_000_000_001)
    assert found(tmp_path).user == "4000000001"


@pytest.mark.parametrize("name", ["requirements-a\nb.txt", "requirements-\x1b[2J.txt"])
def test_no_name_becomes_a_line_of_its_own(name: str, tmp_path: Path) -> None:
    (tmp_path / name).touch()
    with pytest.raises(UsageError, match="cannot be printed"):
        found(tmp_path)
    folder = tmp_path / "a\nExecStart=b"
    folder.mkdir()
    with pytest.raises(UsageError, match="cannot be printed"):
        found(folder)


# Settings


def test_the_settings_file_says_what_was_found(tmp_path: Path) -> None:
    (tmp_path / "whb.toml").write_text(render(AROUND, [])["whb.toml"], encoding="utf-8")
    settings = load_settings(environ={}, folder=tmp_path)
    assert settings.requirements == (tmp_path / "requirements.txt",)
    assert (settings.pythons, settings.archs) == (AROUND.pythons, AROUND.archs)
    assert settings.wheelhouse == tmp_path / "wheelhouse"
    assert settings.refresh.report == tmp_path / "whb-report"


def test_what_the_settings_file_sets_is_the_default(tmp_path: Path) -> None:
    """So that taking a line out changes nothing."""
    (tmp_path / "whb.toml").write_text(render(AROUND, [])["whb.toml"], encoding="utf-8")
    written = load_settings(environ={}, folder=tmp_path)
    (tmp_path / "whb.toml").unlink()
    assert replace(written.refresh, report=Path()) == replace(load_settings(environ={}).refresh, report=Path())


def test_each_setting_that_it_only_mentions_is_one(tmp_path: Path) -> None:
    text = re.sub(r"^# (?=\w[\w-]* = |\[)", "", render(AROUND, [])["whb.toml"], flags=re.MULTILINE)
    assert set(tomllib.loads(text)) >= {"musl-floor", "no-binary", "min-age", "hold", "engine", "constraints"}
    (tmp_path / "whb.toml").write_text(text, encoding="utf-8")
    load_settings(environ={}, folder=tmp_path)


def test_where_nothing_is_found_it_says_what_to_name() -> None:
    text = render(replace(AROUND, requirements=(), others=()), [])["whb.toml"]
    assert "requirements" not in tomllib.loads(text)
    assert "name yours" in text
    assert "Here are" not in text


# Services


def test_every_file_of_every_service_is_made() -> None:
    texts = render(AROUND, ALL)
    assert texts.keys() == {"whb.toml", *(path for files in FILES.values() for path in files)}
    for text in texts.values():
        assert "@{" not in text
        assert text.endswith("\n")


def test_every_action_is_pinned_to_a_commit() -> None:
    """A tag can be moved; and what is pinned is used."""
    text = render(AROUND, [Service.GITHUB])[".github/workflows/wheelhouse.yml"]
    used = re.findall(r"uses: (.*)", text)
    assert len(used) > 5
    for action in used:
        assert re.fullmatch(r"[\w-]+/[\w-]+(/[\w-]+)?@[0-9a-f]{40} # v\d+\.\d+\.\d+", action)
    pinned = tomllib.loads((resources.files("wheelhouse_builder.scaffold") / "templates/actions.toml").read_text())
    assert {action["repository"] for action in pinned.values()} == {action.partition("@")[0] for action in used}


def test_each_architecture_has_a_machine_of_its_own() -> None:
    both, one = (
        load_yaml(render(replace(AROUND, archs=archs), [Service.GITHUB])[".github/workflows/wheelhouse.yml"])["jobs"]
        for archs in (AROUND.archs, (Arch.X86_64,))
    )
    runners = [entry["runner"] for entry in both["build"]["strategy"]["matrix"]["include"]]
    assert runners == ["ubuntu-24.04", "ubuntu-24.04-arm"]
    assert [entry["arch"] for entry in one["build"]["strategy"]["matrix"]["include"]] == ["amd64"]
    assert any("qemu" in step.get("uses", "") for step in both["refresh"]["steps"])
    assert not any("qemu" in step.get("uses", "") for step in one["refresh"]["steps"])


def test_the_workflow_keeps_what_it_takes() -> None:
    """A cache is found again only by the same list of paths; and it is kept when packages failed, too."""
    workflow = load_yaml(render(AROUND, [Service.GITHUB])[".github/workflows/wheelhouse.yml"])
    for job in workflow["jobs"].values():
        take, keep = (
            next(step for step in job["steps"] if f"actions/cache/{verb}@" in step.get("uses", ""))
            for verb in ("restore", "save")
        )
        assert take["with"]["path"] == keep["with"]["path"]
        assert take["with"]["key"] == keep["with"]["key"]
        assert take["with"]["key"].startswith(take["with"]["restore-keys"])
        assert keep["if"] == "${{ !cancelled() }}"
    assert workflow["permissions"] == {"contents": "read"}
    assert workflow["on"]["push"]["paths"] == ["whb.toml", "requirements.txt"]


def test_scripts_hold_no_expressions() -> None:
    """What GitHub fills into a script is code there; a variable is text (zizmor's audit template-injection)."""
    workflow = load_yaml(render(AROUND, [Service.GITHUB])[".github/workflows/wheelhouse.yml"])
    scripts = [step["run"] for job in workflow["jobs"].values() for step in job["steps"] if "run" in step]
    assert scripts
    assert not [script for script in scripts if "${{" in script]


def test_whb_itself_is_pinned_on_ci() -> None:
    texts = render(AROUND, ALL)
    for name in (".github/workflows/wheelhouse.yml", ".gitlab/wheelhouse.yml"):
        assert "'wheelhouse-builder[build]==1.2.3'" in texts[name]


@pytest.mark.parametrize("service", [Service.GITHUB, Service.GITLAB])
@pytest.mark.parametrize(("field", "name"), [("wheelhouse", "wheelhouse"), ("report", "refresh.report")])
def test_ci_keeps_nothing_outside_of_the_project(service: Service, field: str, name: str) -> None:
    with pytest.raises(UsageError) as caught:
        render(replace(AROUND, **{field: "/mnt/x"}), [service])  # type: ignore[arg-type]  # both are text
    assert (
        caught.value.message
        == f"--{service}: {name} is /mnt/x, outside of /srv/wheels, and is lost there when the job ends"
    )


def test_systemd_may_write_what_lies_elsewhere() -> None:
    text = render(replace(AROUND, wheelhouse="/mnt/my wheels"), [Service.SYSTEMD])["systemd/whb-refresh.service"]
    assert 'ReadWritePaths="/srv/wheels" "/mnt/my wheels"\n' in text


def test_root_keeps_what_its_sandbox_wants() -> None:
    texts = [
        render(replace(AROUND, user=user), [Service.SYSTEMD])["systemd/whb-refresh.service"] for user in ("root", "me")
    ]
    assert ["NoNewPrivileges" in text for text in texts] == [False, True]


def test_what_is_special_in_a_unit_file_is_escaped() -> None:
    around = replace(AROUND, folder=Path('/srv/100% "sure"'), command=("/opt/$x/py thon", "-m", "wheelhouse_builder"))
    text = render(around, [Service.SYSTEMD])["systemd/whb-refresh.service"]
    assert 'ExecStart="/opt/$$x/py thon" "-m" "wheelhouse_builder" refresh\n' in text
    assert 'WorkingDirectory=/srv/100%% "sure"\n' in text
    assert 'ReadWritePaths="/srv/100%% \\"sure\\""\n' in text


@given(st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1).filter(lambda name: name not in {".", ".."}))
def test_a_crontab_runs_whb_in_the_folder_whatever_its_name(name: str) -> None:
    """cron ends the command at the first % without a backslash, takes the backslash of the others, and asks a shell."""
    folder = Path("/srv") / name.replace("/", "_")
    *_, line = render(replace(AROUND, folder=folder), [Service.CRON])["whb-refresh.cron"].split("\n")[:-1]
    minute, *rest, command = line.split(" ", 5)
    assert 0 <= int(minute) < 60
    assert rest == ["2", "*", "*", "*"]
    command = re.split(r"(?<!\\)%", command)[0].replace("\\%", "%")
    assert shlex.split(command) == [
        *("cd", str(folder), "&&", "PATH=/opt/python/bin:/usr/bin", "/opt/whb/bin/whb", "refresh", "--quiet")
    ]


def test_not_everybody_starts_at_once_and_each_always_at_the_same_time() -> None:
    crontabs = [render(replace(AROUND, folder=Path(f"/srv/{n}")), [Service.CRON])["whb-refresh.cron"] for n in range(9)]
    minutes = {text.splitlines()[-1].split()[0] for text in crontabs}
    assert len(minutes) > 3
    assert crontabs[0] == render(replace(AROUND, folder=Path("/srv/0")), [Service.CRON])["whb-refresh.cron"]


# Writing


def test_what_is_there_stays(tmp_path: Path) -> None:
    around = replace(AROUND, folder=tmp_path)
    texts = render(around, [Service.GITLAB])
    (tmp_path / "whb.toml").write_text("mine", encoding="utf-8")
    assert write(around, texts, force=False) == {
        "whb.toml": Written.KEPT,
        ".gitlab/wheelhouse.yml": Written.NEW,
        ".gitlab-ci.yml": Written.NEW,
    }
    assert (tmp_path / "whb.toml").read_text() == "mine"
    assert (tmp_path / ".gitlab-ci.yml").read_text() == texts[".gitlab-ci.yml"]


def test_force_replaces_all_but_the_whole_ci_of_a_project(tmp_path: Path) -> None:
    around = replace(AROUND, folder=tmp_path)
    for name in ("whb.toml", ".gitlab-ci.yml"):
        (tmp_path / name).write_text("mine", encoding="utf-8")
    done = write(around, render(around, [Service.GITLAB]), force=True)
    assert done["whb.toml"] is Written.REPLACED
    assert (tmp_path / ".gitlab-ci.yml").read_text() == "mine"


def test_settings_in_pyproject_are_not_hidden(tmp_path: Path) -> None:
    around = found(tmp_path, pyproject__toml="[tool.whb]\nrequirements = ['a.txt']\n")
    for force in (False, True):
        assert write(around, render(around, []), force=force) == {"whb.toml": Written.KEPT}
    assert not (tmp_path / "whb.toml").exists()


# The command


def test_init_says_each_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "requirements.txt").touch()
    assert main(["init", "--cron", "--python", "3.13", "--arch", "arm64"]) == 0
    out, err = capsys.readouterr()
    assert out == "new      whb.toml\nnew      whb-refresh.cron\n"
    assert err == "`whb plan` shows what a refresh would do; `whb refresh` does it\n"
    settings = tomllib.loads((tmp_path / "whb.toml").read_text())
    assert (settings["pythons"], settings["archs"]) == (["3.13"], ["arm64"])
    assert main(["init", "--cron", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "schema": "whb.init/1",
        "files": [{"file": "whb.toml", "result": "kept"}, {"file": "whb-refresh.cron", "result": "kept"}],
    }


def test_init_says_what_is_left_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / ".gitlab-ci.yml").touch()
    assert main(["init", "--gitlab"]) == 0
    said = capsys.readouterr().err
    assert "name what to build for in whb.toml" in said
    assert "- local: .gitlab/wheelhouse.yml" in said
