"""The hooks of `wheelhouse_builder.backend` in one process: what they hand out, forward, refuse and say."""

from __future__ import annotations

import hashlib
import zipfile
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from packaging.tags import sys_tags

from tests.wrapping import (
    ALL_HOOKS,
    METADATA_HOOK,
    REQUIRED_HOOKS,
    TARGET,
    Project,
    make_project,
    new_process,
    run_on,
)
from wheelhouse_builder import backend
from wheelhouse_builder.target import Arch, Target
from wheelhouse_builder.wrapper import produce

if TYPE_CHECKING:
    from collections.abc import Callable

    from wheelhouse_builder.wrapper.request import Request

MUSL = Target((3, 12), Arch.X86_64)
C_PROJECT = 'name = "demo"\nversion = "1.0"\n[tool.setuptools]\next-modules = [{ name = "x", sources = ["x.c"] }]'


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A pure project with every hook, whose wheel is not stored."""
    made = make_project(tmp_path, monkeypatch)
    made.write()
    return made


@pytest.fixture
def extras(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the metadata of the installed distribution says that it needs."""
    requires = ["packaging", 'zig>=1; extra == "build"', 'repairs<2,>=1; extra == "store"']
    older = 'backport; python_version < "3.0" and extra == "build"'
    monkeypatch.setattr(metadata, "requires", {"wheelhouse-builder": [*requires, older]}.get)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Where the front end wants its files."""
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


def digest(folder: Path) -> str:
    """Names, modes and contents of all that is below a folder."""
    found = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        found.update(f"{path.relative_to(folder)} {path.lstat().st_mode:o} {path.lstat().st_mtime_ns}".encode())
        found.update(path.read_bytes() if path.is_file() else b"")
    return found.hexdigest()


def refused(capsys: pytest.CaptureFixture[str], call: Callable[..., object], *arguments: object) -> str:
    """What is said, in three lines at most, by a call that ends with exit code 1."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        call(*arguments)
    assert ended.value.code == 1
    assert ended.value.__suppress_context__
    said = capsys.readouterr()
    assert said.out == ""
    assert len(said.err.splitlines()) <= 3
    assert said.err.startswith("whb: error: ")
    return said.err


# A hit


def test_a_hit_is_handed_out_and_the_wrapped_backend_is_not_imported(project: Project, out: Path) -> None:
    wheel = project.store()
    before = digest(project.root)
    assert backend.get_requires_for_build_wheel(None) == []
    new_process()
    assert hasattr(backend, "prepare_metadata_for_build_wheel")
    assert backend.prepare_metadata_for_build_wheel(str(out), None) == "demo-1.0.dist-info"
    assert sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()) == [
        "demo-1.0.dist-info/METADATA",
        "demo-1.0.dist-info/WHEEL",
    ]
    new_process()
    assert backend.build_wheel(str(out), None, str(out / "demo-1.0.dist-info")) == wheel.name
    assert (out / wheel.name).read_bytes() == wheel.read_bytes()
    assert not project.calls
    assert digest(project.root) == before


def test_a_hit_needs_no_wrapped_backend_at_all(project: Project, out: Path) -> None:
    project.write(backend_path=None, build_backend="not_installed.anywhere")
    wheel = project.store()
    assert backend.get_requires_for_build_wheel() == []
    assert backend.prepare_metadata_for_build_wheel(str(out)) == "demo-1.0.dist-info"
    assert backend.build_wheel(str(out)) == wheel.name


def test_another_source_is_a_miss(project: Project, out: Path) -> None:
    project.store()
    (project.root / "demo.py").write_text("ANSWER = 43\n")
    assert backend.get_requires_for_build_wheel(None) == ["more"]
    assert backend.build_wheel(str(out), None) == "demo-1.0-py3-none-any.whl"
    with zipfile.ZipFile(out / "demo-1.0-py3-none-any.whl") as wheel:
        assert "built.py" in wheel.namelist()


def test_config_settings_are_part_of_what_a_hit_is_found_by(project: Project) -> None:
    project.store(config_settings={"--debug": "1"})
    assert backend.get_requires_for_build_wheel(None) == ["more"]
    new_process()
    assert backend.get_requires_for_build_wheel({"--debug": "1"}) == []
    new_process()
    assert backend.get_requires_for_build_wheel({"--debug": ["1"], "whb.offline": "true"}) == []


def test_a_hit_that_only_the_call_knows_of_is_a_hit(project: Project, out: Path) -> None:
    """`-C` is not told to `__getattr__`, which then goes by the wrapped backend."""
    project.write(wheelhouse=None)
    project.store()
    here = {"whb.wheelhouse": str(project.house)}
    assert hasattr(backend, "prepare_metadata_for_build_wheel")
    assert backend.prepare_metadata_for_build_wheel(str(out), here) == "demo-1.0.dist-info"
    assert (out / "demo-1.0.dist-info/METADATA").is_file()
    assert not project.calls


def test_a_hook_handed_out_for_a_hit_builds_where_the_call_is_a_miss(project: Project, out: Path) -> None:
    """As PEP 517 has front ends do it, for a wrapped backend that has no such hook."""
    project.write(REQUIRED_HOOKS)
    project.store()
    assert backend.prepare_metadata_for_build_wheel(str(out), {"other": "1"}) == "demo-1.0.dist-info"
    assert [call[0] for call in project.calls] == ["build_wheel"]
    assert sorted(path.name for path in out.iterdir()) == ["demo-1.0.dist-info"]


def test_the_whole_metadata_of_the_stored_wheel_is_handed_out(project: Project, out: Path) -> None:
    files = {
        "demo.py": b"",
        "demo-1.0.dist-info/licenses/LICENSE": b"MIT",
        "demo-1.0.dist-info/entry_points.txt": b"",
        "demo-1.0.dist-info/RECORD.jws": b"{}",
    }
    project.store(files=files)
    backend.prepare_metadata_for_build_wheel(str(out), None)
    found = {path.relative_to(out / "demo-1.0.dist-info").as_posix() for path in out.rglob("*") if path.is_file()}
    assert found == {"METADATA", "WHEEL", "entry_points.txt", "licenses/LICENSE"}


# A miss


def test_a_miss_is_forwarded_as_it_came(project: Project, out: Path) -> None:
    given: dict[str, Any] = {"--x": ["1", "2"], "whb.offline": "true"}
    left = {"--x": ["1", "2"]}
    assert backend.get_requires_for_build_wheel(given) == ["more"]
    backend.prepare_metadata_for_build_wheel(str(out), given)
    backend.build_wheel(str(out), given, "somewhere")
    backend.build_wheel(str(out), {})
    backend.build_wheel(str(out))
    assert project.calls == [
        ("get_requires_for_build_wheel", left),
        ("prepare_metadata_for_build_wheel", str(out), left),
        ("build_wheel", str(out), left, "somewhere"),
        ("build_wheel", str(out), {}, None),
        ("build_wheel", str(out), None, None),
    ]
    assert given == {"--x": ["1", "2"], "whb.offline": "true"}


def test_no_metadata_directory_for_who_prepares_none(project: Project, out: Path) -> None:
    project.write(REQUIRED_HOOKS)
    backend.build_wheel(str(out), None, "somewhere")
    assert project.calls == [("build_wheel", str(out), None)]


def test_a_hook_that_the_wrapped_backend_lacks_asks_for_nothing(project: Project) -> None:
    project.write(REQUIRED_HOOKS)
    assert backend.get_requires_for_build_wheel(None) == []
    assert backend.get_requires_for_build_sdist(None) == []


@pytest.mark.parametrize(
    ("source", "there"),
    [
        (REQUIRED_HOOKS, set[str]()),
        (REQUIRED_HOOKS + METADATA_HOOK, {"prepare_metadata_for_build_wheel"}),
        (ALL_HOOKS, set(backend._OPTIONAL)),
    ],
)
def test_optional_hooks_are_there_as_the_wrapped_backend_has_them(
    source: str, there: set[str], project: Project
) -> None:
    project.write(source)
    assert {name for name in backend._OPTIONAL if hasattr(backend, name)} == there


def test_sdists_and_editable_installs_are_the_wrapped_backends_also_on_a_hit(project: Project, out: Path) -> None:
    project.store()
    given = {"whb.offline": "true"}
    assert backend.build_sdist(str(out), given) == "demo-1.0.tar.gz"
    assert backend.get_requires_for_build_editable(given) == ["even-more"]
    assert backend.prepare_metadata_for_build_editable(str(out), given) == "demo-1.0.dist-info"
    assert backend.build_editable(str(out), given, None) == "demo-1.0-0.editable-py3-none-any.whl"
    assert project.calls == [
        ("build_sdist", str(out), {}),
        ("get_requires_for_build_editable", {}),
        ("prepare_metadata_for_build_editable", str(out), {}),
        ("build_editable", str(out), {}, None),
    ]


def test_who_makes_no_sdists_may_say_so(project: Project, out: Path) -> None:
    """PEP 517: by an exception that is an attribute of the backend."""
    refusal = "def build_sdist(*arguments):\n    raise UnsupportedOperation('no')\n"
    project.write(f"class UnsupportedOperation(Exception): pass\n{refusal}")
    with pytest.raises(Exception, match="no") as raised:
        backend.build_sdist(str(out), None)
    assert raised.type is backend.UnsupportedOperation


def test_what_the_wrapped_backend_raises_passes(project: Project, out: Path) -> None:
    project.write("def build_wheel(*arguments):\n    raise KeyError('mine')\n")
    with pytest.raises(KeyError, match="mine"):
        backend.build_wheel(str(out), None)


@pytest.mark.parametrize("said", ["None", "'more'", "('more',)"])
def test_requirements_are_handed_on_as_they_were_said(said: str, project: Project) -> None:
    project.write(f"def get_requires_for_build_wheel(*arguments):\n    return {said}\n")
    assert backend.get_requires_for_build_wheel(None) == eval(said)


def test_what_an_sdist_takes_is_the_wrapped_backends(project: Project) -> None:
    project.write("def get_requires_for_build_sdist(*arguments):\n    return ['sdists', *map(repr, arguments)]\n")
    assert backend.get_requires_for_build_sdist({"whb.offline": "true"}) == ["sdists", "{}"]


def test_an_unknown_hook_is_not_there(project: Project) -> None:
    with pytest.raises(AttributeError, match="has no attribute 'build_rpm'"):
        _ = backend.build_rpm
    with pytest.raises(AttributeError):
        _ = backend.__path__
    assert not project.calls


# This interpreter's target, and others


def test_a_wheel_for_another_machine_is_not_handed_out(
    project: Project, monkeypatch: pytest.MonkeyPatch, out: Path
) -> None:
    project.store(tag="cp312-cp312-musllinux_1_2_aarch64")
    run_on(monkeypatch, MUSL, compiler=True)
    assert backend.get_requires_for_build_wheel(None) == ["more"]
    run_on(monkeypatch, TARGET)
    assert backend.get_requires_for_build_wheel(None) == []
    assert backend.build_wheel(str(out), None) == "demo-1.0-cp312-cp312-musllinux_1_2_aarch64.whl"


def test_a_wheel_for_a_target_is_handed_out_where_it_is_asked_for(
    project: Project, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wheel = project.store(tag="cp312-cp312-musllinux_1_2_aarch64")
    given = {"whb.target": str(TARGET)}
    assert backend.get_requires_for_build_wheel(given) == []
    assert backend.build_wheel(str(out), given) == wheel.name
    assert capsys.readouterr().err == f"whb: {wheel.name} is for {TARGET}, not for this interpreter\n"


@pytest.mark.usefixtures("extras")
def test_building_for_a_target_takes_what_builds_and_not_the_wrapped_backend(project: Project) -> None:
    """Not as `wheelhouse-builder[build]`: pip takes that for there."""
    assert backend.get_requires_for_build_wheel({"whb.target": str(TARGET)}) == ["zig>=1"]
    assert not project.calls


def test_the_own_target_is_no_other(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    run_on(monkeypatch, TARGET)
    assert backend.get_requires_for_build_wheel({"whb.target": str(TARGET)}) == ["more"]


@pytest.mark.usefixtures("extras")
def test_storing_takes_what_repairs_and_checks(project: Project, tmp_path: Path) -> None:
    given = {"whb.store": str(tmp_path / "stored")}
    assert backend.get_requires_for_build_wheel(given) == ["more", "repairs<2,>=1"]


def test_a_wheel_that_does_not_install_here_is_an_error(
    project: Project, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project.write("def build_wheel(*arguments):\n    return 'demo-1.0-cp312-cp312-win_arm64.whl'\n")
    assert "demo-1.0-cp312-cp312-win_arm64.whl, which this interpreter cannot install" in refused(
        capsys, backend.build_wheel, str(out), None
    )


@pytest.mark.parametrize("returned", ["'demo.whl'", "None", "b'demo-1.0-py3-none-any.whl'"])
def test_a_wheel_without_a_name_is_an_error(
    returned: str, project: Project, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project.write(f"def build_wheel(*arguments):\n    return {returned}\n")
    assert f"returned {returned}" in refused(capsys, backend.build_wheel, str(out), None)


def test_a_wheel_is_kept_under_the_key_that_the_tree_had_before_its_build(
    project: Project, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Backends write into it: C files of Cython, a version."""
    project.write(ALL_HOOKS.replace("return make_wheel", "Path('w').touch(); return make_wheel"))
    key = project.key()
    kept: list[str] = []

    def store_own(request: Request, wheel: Path) -> None:
        assert request.inputs is not None
        kept.append(request.inputs.key(TARGET))

    monkeypatch.setattr(produce, "store_own", store_own)
    assert backend.build_wheel(str(out), {"whb.store": str(out)}) == "demo-1.0-py3-none-any.whl"
    assert (project.root / "w").exists()
    assert kept == [key]


def test_what_is_kept_is_handed_out(project: Project, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stored = out.parent / "demo-1.0-1-py3-none-any.whl"
    stored.write_bytes(b"repaired")
    monkeypatch.setattr(produce, "store_own", lambda request, wheel: stored)
    assert backend.build_wheel(str(out), {"whb.store": str(out)}) == stored.name
    assert [path.name for path in out.iterdir()] == [stored.name]
    assert (out / stored.name).read_bytes() == b"repaired"


def test_nothing_is_kept_in_an_unpacked_sdist(project: Project, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A relative path of [tool.whb] leads there, and with it the wheel would be gone."""
    project.write(store="wheels")
    (project.root / "PKG-INFO").write_text("Metadata-Version: 2.2\nName: demo\nVersion: 1.0\n")
    assert backend.build_wheel(str(out), None) == "demo-1.0-py3-none-any.whl"
    assert "is not stored" in capsys.readouterr().err
    assert not (project.root / "wheels").exists()


def test_offline_no_index_is_asked(project: Project, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = {"whb.wheelhouse": "http://127.0.0.1:9/simple/", "whb.offline": "true"}
    assert backend.build_wheel(str(out), given) == "demo-1.0-py3-none-any.whl"
    assert "http://127.0.0.1:9/simple/ is not asked" in capsys.readouterr().err


# A miss that is not to be built


def test_on_miss_fail_names_the_wheel_the_target_and_the_command(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    project.write(on_miss="fail")
    run_on(monkeypatch, TARGET, compiler=True)
    said = refused(capsys, backend.get_requires_for_build_wheel, None)
    assert f'no wheel of demo 1.0 for {TARGET} is in {project.house}, and on-miss is "fail"' in said
    assert f"whb build . --python 3.12 --arch arm64 -w {project.house}" in said
    other = {"whb.target": str(MUSL)}
    assert f"for {MUSL}" in refused(capsys, backend.get_requires_for_build_wheel, other)
    assert not project.calls


def test_wheels_of_other_sources_are_named_where_one_is_missing(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    project.store(tag="cp312-cp312-musllinux_1_2_aarch64")
    project.write(on_miss="fail")
    (project.root / "demo.py").write_text("ANSWER = 43\n")
    run_on(monkeypatch, TARGET)
    said = refused(capsys, backend.get_requires_for_build_wheel, None)
    assert f'is in {project.house}: what is there is of other sources or settings, and on-miss is "fail"' in said
    for target, version in ((MUSL, "1.0"), (TARGET, "1.1")):
        text = (project.root / "pyproject.toml").read_text().replace("1.0", version)
        (project.root / "pyproject.toml").write_text(text)
        run_on(monkeypatch, target)
        assert "other sources" not in refused(capsys, backend.get_requires_for_build_wheel, None)


def test_no_other_wheels_are_named_where_none_was_looked_up(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a key nobody knows what they are of, and offline nobody is asked."""
    project.store(tag="cp312-cp312-musllinux_1_2_aarch64")
    text = (project.root / "pyproject.toml").read_text()
    text = text.replace('["wheelhouse-builder"]', '["wheelhouse-builder", "setuptools-scm"]')
    (project.root / "pyproject.toml").write_text(text.replace('version = "1.0"', 'dynamic = ["version"]'))
    run_on(monkeypatch, TARGET)
    offline = {"whb.wheelhouse": "http://127.0.0.1:9/simple/", "whb.offline": "true"}
    monkeypatch.setattr("wheelhouse_builder.wrapper.index.Index.page", lambda self, name: pytest.fail("asked"))
    for given in ({}, offline):
        with pytest.raises(SystemExit):
            backend.get_requires_for_build_wheel({"whb.on-miss": "fail", **given})
        said = capsys.readouterr().err
        assert "no wheel of demo for" in said
        assert "other sources" not in said


def test_on_miss_fail_where_whb_has_no_target(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    run = refused(capsys, backend.get_requires_for_build_wheel, {"whb.on-miss": "fail"})
    assert f"for {next(iter(sys_tags()))} is in" in run
    assert "-C whb.on-miss=build builds for this interpreter" in run


def test_without_a_compiler_a_native_miss_ends_at_once(
    project: Project, monkeypatch: pytest.MonkeyPatch, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project.write(project=C_PROJECT)
    (project.root / "x.c").touch()
    run_on(monkeypatch, TARGET)
    said = refused(capsys, backend.get_requires_for_build_wheel, None)
    assert f"for {TARGET}" in said
    assert "this machine has no compiler" in said
    assert hasattr(backend, "prepare_metadata_for_build_wheel")
    refused(capsys, backend.prepare_metadata_for_build_wheel, str(out), None)
    refused(capsys, backend.build_wheel, str(out), None)
    assert not project.calls
    assert not list(out.iterdir())
    assert backend.get_requires_for_build_wheel({"whb.on-miss": "build"}) == ["more"]


def test_without_a_compiler_a_pure_miss_is_built(project: Project, monkeypatch: pytest.MonkeyPatch, out: Path) -> None:
    run_on(monkeypatch, TARGET)
    assert backend.build_wheel(str(out), None) == "demo-1.0-py3-none-any.whl"


def test_a_build_that_fails_without_a_compiler_ends_with_the_message(
    project: Project, monkeypatch: pytest.MonkeyPatch, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hooks = ("get_requires_for_build_wheel", "prepare_metadata_for_build_wheel", "build_wheel")
    failure = "raise OSError(\"command 'gcc' failed: No such file\")"
    project.write("".join(f"def {hook}(*arguments):\n    {failure}\n" for hook in hooks))
    run_on(monkeypatch, TARGET)
    for hook in hooks:
        with pytest.raises(SystemExit):
            getattr(backend, hook)(*[str(out)] * (hook != hooks[0]), None)
        traceback, message = capsys.readouterr().err.split("whb: error: ")
        assert "command 'gcc' failed" in traceback
        assert message.startswith(f"no wheel of demo 1.0 for {TARGET} is in {project.house}")
        assert "whb build ." in message


def test_the_command_for_an_sdist_names_the_version(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    project.write(on_miss="fail", wheelhouse="http://127.0.0.1:9/simple/")
    (project.root / "PKG-INFO").write_text("Metadata-Version: 2.2\nName: demo\nVersion: 1.0\n")
    run_on(monkeypatch, TARGET)
    monkeypatch.setattr("wheelhouse_builder.wrapper.index.Index.page", lambda self, name: None)
    said = refused(capsys, backend.get_requires_for_build_wheel, None)
    assert "whb build -P demo==1.0 --no-binary demo --python 3.12 --arch arm64 -w wheelhouse" in said


def test_the_command_with_config_settings_gives_them(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run_on(monkeypatch, TARGET)
    given: dict[str, object] = {"whb.on-miss": "fail", "--opt": ["a b", "c"], "--more": ("d",)}
    said = refused(capsys, backend.get_requires_for_build_wheel, given)
    command = f"pip wheel . --no-deps -C whb.target={TARGET} -C whb.store={project.house} -C '--opt=a b' -C --opt=c"
    command += " -C --more=d"
    assert command in said


# Bad input


def test_wrapped_backend_missing(project: Project, capsys: pytest.CaptureFixture[str], out: Path) -> None:
    project.write(build_backend=None, backend_path=None)
    assert "[tool.whb] has no build-backend" in refused(capsys, backend.build_wheel, str(out), None)


def test_wrapped_backend_not_importable(project: Project, capsys: pytest.CaptureFixture[str], out: Path) -> None:
    project.write(build_backend="not_installed.anywhere", backend_path=None)
    said = refused(capsys, backend.get_requires_for_build_wheel, None)
    assert "the wrapped backend not_installed.anywhere cannot be imported" in said
    assert "is it in [build-system] requires?" in said
    refused(capsys, backend.prepare_metadata_for_build_wheel, str(out), None)
    refused(capsys, hasattr, backend, "build_editable")


def test_a_wrapped_backend_that_is_none(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], out: Path
) -> None:
    """As `setuptools`, for `setuptools.build_meta`."""
    project.write("")
    run_on(monkeypatch, TARGET)
    for hook in ("build_wheel", "build_sdist", "build_editable"):
        said = refused(capsys, backend._call, hook, str(out), None, *[None][: hook != "build_sdist"])
        assert f"[tool.whb] build-backend noting_backend has no hook {hook}" in said


@pytest.mark.parametrize("name", ["wheelhouse_builder.backend", "wheelhouse_builder.backend:x"])
def test_wrapped_backend_naming_itself(name: str, project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    project.write(build_backend=name, backend_path=None)
    assert "itself" in refused(capsys, backend.get_requires_for_build_wheel, None)


def test_a_backend_that_hands_our_hooks_on_is_not_asked_by_them(
    project: Project, capsys: pytest.CaptureFixture[str], out: Path
) -> None:
    text = (project.root / "pyproject.toml").read_text()
    named = text.replace('"wheelhouse_builder.backend"', f'"{project.root.name}"')
    (project.root / "pyproject.toml").write_text(named)
    assert "not wheelhouse_builder.backend" in refused(capsys, backend.build_wheel, str(out), None)


def test_what_the_machine_refuses_is_told(
    project: Project, out: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a disk that is full, while we write."""

    def full(self: zipfile.ZipFile, path: Path, members: list[str]) -> None:
        raise OSError(28, "No space left on device", f"{path}/METADATA")

    project.store()
    monkeypatch.setattr(zipfile.ZipFile, "extractall", full)
    said = refused(capsys, backend.prepare_metadata_for_build_wheel, str(out), None)
    assert said == f"whb: error: {out}/METADATA: No space left on device\n"


@pytest.mark.parametrize("source", ["def build_wheel(*a): {}", "{}", "def __getattr__(name): {}"])
def test_what_the_machine_refuses_the_wrapped_backend_is_its_own(source: str, project: Project, out: Path) -> None:
    project.write(source.format("raise FileNotFoundError(2, 'No such file', 'gcc')"))
    with pytest.raises(FileNotFoundError, match="gcc"):
        backend.build_wheel(str(out), None)


@pytest.mark.parametrize("on_miss", [None, "fail", "build"])
def test_a_stored_wheel_with_a_wrong_hash(
    on_miss: str | None, project: Project, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wheel = project.store()
    wheel.write_bytes(wheel.read_bytes() + b"\0")
    given = {"whb.on-miss": on_miss} if on_miss else None
    if on_miss == "build":
        assert backend.get_requires_for_build_wheel(given) == ["more"]
        assert backend.build_wheel(str(out), given) == wheel.name
        assert (out / wheel.name).read_bytes() != wheel.read_bytes()
        assert capsys.readouterr().err.count("its page says") == 2
    else:
        for call in (backend.build_wheel, backend.prepare_metadata_for_build_wheel):
            said = refused(capsys, call, str(out), given)
            assert f"{wheel.name} with sha256" in said
            assert "on-miss=build" in said
        assert not list(out.iterdir())


@pytest.mark.parametrize("filename", ["other-1.0-py3-none-any.whl", "demo-2.0-py3-none-any.whl"])
def test_a_stored_wheel_whose_name_or_version_differs(
    filename: str, project: Project, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project.store()
    project.edit_page(filename=filename)
    assert f"offers {filename} for demo 1.0" in refused(capsys, backend.build_wheel, str(out), None)
    assert backend.get_requires_for_build_wheel({"whb.on-miss": "build"}) == ["more"]


def test_a_read_only_source_tree(project: Project, out: Path) -> None:
    """Nothing of ours is written into it: neither on a miss nor on a hit."""
    for state in ("miss", "hit"):
        if state == "hit":
            project.store()
        before = digest(project.root)
        for folder in (project.root, project.root / "tools"):
            folder.chmod(0o555)
        backend.get_requires_for_build_wheel(None)
        backend.prepare_metadata_for_build_wheel(str(out), None)
        backend.build_wheel(str(out), None)
        for folder in (project.root, project.root / "tools"):
            folder.chmod(0o755)
        assert digest(project.root) == before
        new_process()


def test_a_key_that_cannot_be_computed(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], out: Path
) -> None:
    project.store()
    unreadable = project.root / "secret.txt"
    unreadable.write_text("x")
    opened = Path.open

    def denied(self: Path, *arguments: Any, **options: Any) -> Any:
        if self == unreadable:  # root reads what nobody may
            raise PermissionError(13, "Permission denied", str(self))
        return opened(self, *arguments, **options)

    monkeypatch.setattr(Path, "open", denied)
    assert "secret.txt" in refused(capsys, backend.build_wheel, str(out), None)


def test_a_project_without_a_static_name_is_built_and_told(
    project: Project, capsys: pytest.CaptureFixture[str], out: Path
) -> None:
    project.store()
    project.write(project="")
    text = (project.root / "pyproject.toml").read_text().replace("[project]\n", "")
    (project.root / "pyproject.toml").write_text(text)
    assert backend.build_wheel(str(out), None) == "demo-1.0-py3-none-any.whl"
    assert "do not say its name, so no wheel is looked up" in capsys.readouterr().err
    assert project.calls


def test_a_version_from_version_control_is_built_and_told(
    project: Project, capsys: pytest.CaptureFixture[str], out: Path
) -> None:
    project.store()
    text = (project.root / "pyproject.toml").read_text()
    text = text.replace('["wheelhouse-builder"]', '["wheelhouse-builder", "setuptools-scm"]')
    (project.root / "pyproject.toml").write_text(text.replace('version = "1.0"', 'dynamic = ["version"]'))
    assert backend.build_wheel(str(out), None) == "demo-1.0-py3-none-any.whl"
    assert "comes from version control" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"whb.traget": "x"}, "unknown setting 'traget' (did you mean target?)"),
        ({"whb.on-miss": ["build", "fail"]}, "on-miss"),
        ({"whb.target": "cp312"}, "cp312"),
        ({"whb.build-backend": "x"}, "build-backend is a fact of the project"),
        ({"whb.a": "x", "whb.b": "y"}, "2 problems in the settings: -C whb.a: unknown setting 'a'; -C whb.b: "),
    ],
)
def test_settings_that_cannot_be_followed(
    given: dict[str, object], said: str, project: Project, capsys: pytest.CaptureFixture[str], out: Path
) -> None:
    for call in (backend.build_wheel, backend.build_sdist, backend.build_editable):
        assert said in refused(capsys, call, str(out), given)
    assert not project.calls


@pytest.mark.usefixtures("extras")
def test_settings_beat_each_other(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """`-C` beats the environment, which beats the file."""
    project.store(tag="cp312-cp312-musllinux_1_2_aarch64")
    project.write(target=str(MUSL))
    project.store(tag="cp312-cp312-musllinux_1_2_aarch64", version="1.0")
    extra = ["zig>=1"]
    assert backend.get_requires_for_build_wheel(None) == extra
    monkeypatch.setenv("WHB_TARGET", str(TARGET))
    assert backend.get_requires_for_build_wheel(None) == []
    assert backend.get_requires_for_build_wheel({"whb.target": str(MUSL)}) == extra
