"""Settings: every source, their order, and every problem told at once."""

from __future__ import annotations

import tomllib
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wheelhouse_builder.errors import UsageError
from wheelhouse_builder.settings import OPTIONS, Settings, default_cache, show_settings, value_of
from wheelhouse_builder.settings.container import ContainerSettings
from wheelhouse_builder.settings.kinds import DURATION
from wheelhouse_builder.settings_sources import load_settings
from wheelhouse_builder.target import Arch, Target


def load(folder: Path, text: str = "", /, **options: object) -> Settings:
    (folder / "whb.toml").write_text(text, encoding="utf-8")
    return load_with({}, folder, **options)


def load_with(environ: dict[str, str], folder: Path, **options: object) -> Settings:
    command_line = {name.replace("_", "-"): value for name, value in options.items()}
    return load_settings(command_line, environ=environ, folder=folder)


def problems(folder: Path, text: str = "", **options: object) -> str:
    with pytest.raises(UsageError) as caught:
        load(folder, text, **options)
    return caught.value.message.replace(str(folder), "DIR")


def test_defaults(tmp_path: Path) -> None:
    settings = load_settings(environ={}, folder=tmp_path)
    assert settings == Settings()
    assert settings.archs == (Arch.X86_64, Arch.AARCH64)
    assert {settings.origin(option) for option in OPTIONS.values()} == {"default"}


def test_the_command_line_beats_the_environment_beats_the_file(tmp_path: Path) -> None:
    text = 'jobs = 1\nengine = "cross"\npythons = ["3.11"]\n'
    (tmp_path / "whb.toml").write_text(text, encoding="utf-8")
    settings = load_with({"WHB_JOBS": "2", "WHB_PYTHONS": "3.12, 3.13"}, tmp_path, jobs="3")
    assert (settings.jobs, settings.pythons) == (3, ((3, 12), (3, 13)))
    assert settings.origin(OPTIONS["jobs"]) == "--jobs"
    assert settings.origin(OPTIONS["pythons"]) == "WHB_PYTHONS"
    assert settings.origin(OPTIONS["engine"]) == str(tmp_path / "whb.toml")


def test_targets_are_every_python_on_every_arch(tmp_path: Path) -> None:
    settings = load(tmp_path, pythons=["3.13", "3.12,3.13"], archs=["arm64", "amd64"])
    names = ["cp312-musllinux_1_2_aarch64", "cp312-musllinux_1_2_x86_64"]
    assert settings.targets == tuple(map(Target.parse, [*names, *(name.replace("312", "313") for name in names)]))


def test_paths_in_a_file_are_relative_to_it(tmp_path: Path) -> None:
    text = 'requirements = ["app/requirements.txt"]\nwheelhouse = "out"\n[verify]\nrootfs = "/alpine/{python}-{arch}"\n'
    settings = load(tmp_path, text)
    assert settings.requirements == (tmp_path / "app/requirements.txt",)
    assert settings.wheelhouse == tmp_path / "out"
    assert settings.verify.rootfs == Path("/alpine/{python}-{arch}")


def test_paths_of_the_command_line_are_relative_to_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = load_settings({"requirements": ["a:b,c.txt"]}, environ={"WHB_CONSTRAINTS": "x.txt:/y.txt"})
    assert settings.requirements == (tmp_path / "a:b,c.txt",)
    assert settings.constraints == (tmp_path / "x.txt", Path("/y.txt"))


def test_pyproject_is_read_when_there_is_no_whb_toml(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "x"\n[tool.whb]\njobs = 7\n', encoding="utf-8")
    assert load_with({}, tmp_path).jobs == 7
    assert load(tmp_path, "jobs = 8\n").jobs == 8


def test_a_tool_table_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool]\nwhb = 1\n", encoding="utf-8")
    with pytest.raises(UsageError, match=r"tool\.whb must be a table"):
        load_with({}, tmp_path)


def test_a_package_on_the_command_line_hides_the_requirements_of_the_file(tmp_path: Path) -> None:
    settings = load(tmp_path, 'requirements = ["r.txt"]\n', packages=["cffi >= 1, < 3"])
    assert (settings.requirements, settings.packages) == ((), ("cffi >= 1, < 3",))


@pytest.mark.parametrize("text", ["./project", ".", "dist/demo-1.0.tar.gz", "https://host/demo-1.0.tar.gz"])
def test_a_package_may_be_a_path_or_a_url(tmp_path: Path, text: str) -> None:
    assert load(tmp_path, packages=[text]).packages == (text,)


def test_names_are_normalised_and_none_takes_back(tmp_path: Path) -> None:
    assert load(tmp_path, no_binary=["Foo_Bar,foo.bar", ":all:"]).no_binary == ("foo-bar", ":all:")
    assert load(tmp_path, 'no-binary = ["cffi"]\n', no_binary=[":none:"]).no_binary == ()


def test_package_and_target_tables(tmp_path: Path) -> None:
    text = '[packages.Py_Lib]\nlibraries = ["zlib"]\n[cross.target-trees]\ncp312-musllinux_1_2_x86_64 = "tree"\n'
    settings = load(tmp_path, text)
    assert settings.package_tables == {"py-lib": {"libraries": ["zlib"]}}
    assert settings.cross.target_trees == {"cp312-musllinux_1_2_x86_64": tmp_path / "tree"}


def test_tables_of_other_commands_are_accepted(tmp_path: Path) -> None:
    load(tmp_path, '[serve]\nport = 1\n[refresh]\ngrace = "3 days"\n')


def test_the_engines_are_tried_in_their_order(tmp_path: Path) -> None:
    assert load(tmp_path).engines == ("cross",)
    assert load(tmp_path, 'engine = ["container", "cross"]\n').engines == ("container", "cross")
    assert load(tmp_path, engine=["cross,container"]).engines == ("cross", "container")
    assert load_with({"WHB_ENGINE": "container, cross"}, tmp_path).engines == ("container", "cross")


def test_one_string_is_a_list_of_one(tmp_path: Path) -> None:
    text = 'requirements = "r.txt"\npythons = "3.12"\narchs = "arm64"\nengine = "container"\nno-binary = "CFFI"\n'
    settings = load(tmp_path, text)
    assert settings.requirements == (tmp_path / "r.txt",)
    assert (settings.pythons, settings.archs) == (((3, 12),), (Arch.AARCH64,))
    assert (settings.engines, settings.no_binary) == (("container",), ("cffi",))


def test_all_problems_at_once(tmp_path: Path) -> None:
    lines = ['pyhtons = ["3.12"]', 'jobs = "2"', "archs = 64", "pythons = [3.10]", '[verify]\nengine = "dokcer"']
    (tmp_path / "whb.toml").write_text("\n".join([*lines, "[packages]\nx = 1"]), encoding="utf-8")
    with pytest.raises(UsageError) as caught:
        load_with({"WHB_OFFLINE": "maybe"}, tmp_path, pythons=["3.10"], packages=["c ffi"])
    head, *told = caught.value.message.replace(str(tmp_path), "DIR").splitlines()
    assert head == "9 problems in the settings:"
    assert told[:6] == [
        "DIR/whb.toml: unknown setting 'pyhtons' (did you mean pythons?)",
        "DIR/whb.toml: jobs must be a whole number, not '2'",
        "DIR/whb.toml: archs must be a string or a list of strings, not 64",
        "DIR/whb.toml: pythons must be a string or a list of strings, not [3.1]",
        "DIR/whb.toml: verify.engine: 'dokcer' is none of auto, docker, podman, chroot, off (did you mean docker?)",
        "DIR/whb.toml: packages.x must be a table",
    ]
    assert told[6] == "WHB_OFFLINE: 'maybe' is neither true nor false"
    assert {line.partition(":")[0] for line in told[7:]} == {"--package", "--python"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("verify = 1", "DIR/whb.toml: verify must be a table"),
        ("jobs = true", "DIR/whb.toml: jobs must be a whole number, not True"),
        ("engine = []", "DIR/whb.toml: engine names nothing"),
        ("pythons = []", "DIR/whb.toml: pythons names nothing"),
        ('engine = ["cros"]', "DIR/whb.toml: engine: 'cros' is none of cross, container (did you mean cross?)"),
        ('engine = "zig,gcc"', "DIR/whb.toml: engine: 'zig,gcc' is none of cross, container"),
        ("engine = [1]", "DIR/whb.toml: engine must be a string or a list of strings, not [1]"),
        ("jobs = 0", "DIR/whb.toml: jobs: '0' is not a whole number above zero"),
        ('musl = "1.1"', "DIR/whb.toml: musl: unknown musl '1.1' (use 1.2: the series of every Alpine since 3.13)"),
        ('musl-floor = "1.2"', "DIR/whb.toml: musl-floor: unknown musl release '1.2' (write it as 1.2.5)"),
        ("[cross]\ntrees = 1", "DIR/whb.toml: unknown setting 'cross.trees' (did you mean cross.target-trees?)"),
        ("[cross]\ntarget-trees = 1", "DIR/whb.toml: cross.target-trees must be a table"),
        ("[packages.a-b]\n[packages.A_B]", "DIR/whb.toml: packages.A_B: a-b is there twice"),
        ("jobs = ]", "DIR/whb.toml: Invalid value (at line 1, column 8)"),
    ],
)  # fmt: skip
def test_one_problem(tmp_path: Path, text: str, message: str) -> None:
    assert problems(tmp_path, text) == message


def test_one_name_cannot_be_in_both_lists(tmp_path: Path) -> None:
    message = problems(tmp_path, 'only-binary = ["cffi"]\n', no_binary=["CFFI"])
    assert message == "no-binary and only-binary both name cffi"


def test_a_missing_settings_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"gone\.toml: No such file"):
        load_settings(environ={}, config_file=tmp_path / "gone.toml")


def test_the_cache_follows_xdg(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    assert default_cache() == Path("/x/whb")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative is to be ignored")
    monkeypatch.setenv("HOME", "/home/me")
    assert default_cache() == Path("/home/me/.cache/whb")


def test_without_a_home_there_are_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As in a container that runs under a user who is in no password file: a hit needs no cache."""

    def nobody() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", nobody)
    assert load(tmp_path).cache == Path("/nonexistent/.cache/whb")
    assert load_with({"WHB_CACHE_DIR": "/here"}, tmp_path).cache == Path("/here")


def test_what_is_shown_is_toml_that_gives_the_same_settings(tmp_path: Path) -> None:
    settings = load(tmp_path, no_binary=["cffi"], jobs="3", pythons=["3.12"])
    (tmp_path / "again").mkdir()
    again = load(tmp_path / "again", show_settings(settings))
    assert again == settings
    assert 'no-binary = ["cffi"]  # --no-binary' in show_settings(settings)


@pytest.mark.parametrize(
    ("key", "value", "kept"),
    [
        ("port", "0", 0),
        ("root-path", '"/wheels/"', "/wheels"),
        ("root-path", '"/"', ""),
        ("trusted-proxies", '["10.0.0.7", "2001:db8::/32", "unix"]', ("10.0.0.7/32", "2001:db8::/32", "unix")),
        ("reserved", '["Acme_*", "in.house"]', ("acme-*", "in-house")),
        ("upstream", '"https://example.com/simple"', "https://example.com/simple/"),
        ("access-log", '"off"', "off"),
        ("max-age", "0", 0),
        ("anonymous-read", "true", True),
    ],
)
def test_what_the_server_takes(tmp_path: Path, key: str, value: str, kept: object) -> None:
    settings = load(tmp_path, f"[serve]\n{key} = {value}\n")
    assert value_of(settings, OPTIONS[f"serve.{key}"]) == kept
    assert load(tmp_path, show_settings(settings)) == settings


def test_the_access_log_is_relative_to_the_file(tmp_path: Path) -> None:
    assert load(tmp_path, '[serve]\naccess-log = "log"\n').serve.access_log == tmp_path / "log"


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        ("port", "65536", "is not a port"),
        ("port", "-1", "is not a port"),
        ("root-path", '"wheels"', "cannot be the prefix"),
        ("root-path", '"/a/../b"', "cannot be the prefix"),
        ("root-path", '"/simple"', "cannot be the prefix"),
        ("trusted-proxies", '["10.0.0.7/8"]', "has host bits set"),
        ("trusted-proxies", '["*"]', "is not a network"),
        ("reserved", '["acme/*"]', "is neither a project name nor a pattern"),
        ("upstream", '"https://me:secret@example.com/"', "is not the URL of an index"),
        ("upstream", '"file:///x"', "is not the URL of an index"),
        ("upstream", '"https://bücher.example/"', "is not the URL of an index"),
        ("server", '"gunicorn"', "is none of uvicorn, granian"),
        ("max-requests", "0", "is not a whole number above zero"),
    ],
)
def test_what_the_server_does_not_take(tmp_path: Path, key: str, value: str, problem: str) -> None:
    assert problem in problems(tmp_path, f"[serve]\n{key} = {value}\n")


# containers

CONTAINER = """[container]
engine = "podman"
accelerate = false
images = { amd64 = "host:5000/a/b@sha256:12", aarch64 = "local:tag" }
[container.hosts]
arm64 = "ssh://builder@pi"
"""


def test_images_and_hosts_are_tables_by_architecture(tmp_path: Path) -> None:
    settings = load(tmp_path, CONTAINER)
    assert settings.container == ContainerSettings(
        engine="podman",
        accelerate=False,
        images={Arch.X86_64: "host:5000/a/b@sha256:12", Arch.AARCH64: "local:tag"},
        hosts={Arch.AARCH64: "ssh://builder@pi"},
    )
    assert load(tmp_path, show_settings(settings)) == settings


def test_a_variable_has_such_a_table_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "whb.toml").write_text(CONTAINER, encoding="utf-8")
    settings = load_with({"WHB_CONTAINER_HOSTS": "amd64=tcp://10.0.0.7:2376, arm64=pi"}, tmp_path)
    assert settings.container.hosts == {Arch.X86_64: "tcp://10.0.0.7:2376", Arch.AARCH64: "pi"}
    assert settings.origin(OPTIONS["container.hosts"]) == "WHB_CONTAINER_HOSTS"


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ('engine = "buildah"', "container.engine: 'buildah' is none of docker, podman"),
        ('images = ["a"]', "container.images must be a table of strings, not ['a']"),
        ("images = { arm64 = 1 }", "container.images must be a table of strings"),
        ('images = { riscv64 = "a" }', "container.images: unknown architecture 'riscv64'"),
        ('images = { arm64 = "--privileged" }', "container.images: '--privileged' is not the name of an image"),
        ('images = { arm64 = "a b" }', "container.images: 'a b' is not the name of an image"),
        ('images = { arm64 = "a", aarch64 = "b" }', "container.images: one architecture is there twice"),
        ('hosts = { arm64 = "http://pi" }', "container.hosts: 'http://pi' is not a container host"),
        ('hosts = { arm64 = "ssh://-oProxyCommand=x" }', "is not a container host"),
        ('hosts = { arm64 = "-H" }', "container.hosts: '-H' is not a container host"),
        ('hosts = { arm64 = "" }', "container.hosts: '' is not a container host"),
        ('host = "ssh://pi"', "unknown setting 'container.host' (did you mean container.hosts?)"),
    ],
)
def test_what_the_container_engine_does_not_take(tmp_path: Path, line: str, problem: str) -> None:
    assert problem in problems(tmp_path, f"[container]\n{line}\n")


def test_a_variable_without_an_architecture(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="WHB_CONTAINER_HOSTS: 'pi' names no architecture"):
        load_with({"WHB_CONTAINER_HOSTS": "pi"}, tmp_path)


# the build-backend wrapper


def configured(folder: Path, **given: object) -> Settings:
    names = {name.replace("_", "-"): value for name, value in given.items()}
    return load_settings(config_settings=names, environ={"WHB_STORE": "variable"}, folder=folder)


def test_config_settings_beat_the_environment_and_the_file(tmp_path: Path) -> None:
    (tmp_path / "whb.toml").write_text('on-miss = "fail"\nstore = "file"\n', encoding="utf-8")
    settings = configured(tmp_path, target="cp312-musllinux_1_2_aarch64")
    assert settings.backend.target == Target.parse("cp312-musllinux_1_2_aarch64")
    assert settings.backend.store == Path("variable").absolute()
    assert settings.backend.on_miss == "fail"
    assert settings.origin(OPTIONS["target"]) == "-C whb.target"
    assert configured(tmp_path, on_miss=["build", "build"]).backend.on_miss == "build"
    assert configured(tmp_path, no_binary=["a,b", "c"]).no_binary == ("a", "b", "c")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"targt": "x"}, "-C whb.targt: unknown setting 'targt' (did you mean target?)"),
        ({"on-miss": ["build", "fail"]}, "-C whb.on-miss is given more than once: build, fail"),
        ({"target": []}, "-C whb.target is given without a value"),
        ({"on-miss": "bild"}, "-C whb.on-miss: 'bild' is none of build, fail (did you mean build?)"),
        (
            {"target": "cp312"},
            "-C whb.target: unknown target 'cp312' (write it as cp312-musllinux_1_2_aarch64)",
        ),
        (
            {"key-exclude": "x"},
            "-C whb.key-exclude: key-exclude is a fact of the project, set in [tool.whb] of its pyproject.toml alone",
        ),
    ],
)
def test_config_settings_that_are_refused(tmp_path: Path, given: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        load_settings(config_settings=given, environ={}, folder=tmp_path)
    assert caught.value.message == message


@pytest.mark.parametrize(
    ("text", "index"),
    [
        ("https://wheels.internal/simple/", "https://wheels.internal/simple/"),
        ("http://127.0.0.1:8080/simple", "http://127.0.0.1:8080/simple/"),
        ("HTTPS://host/simple", "HTTPS://host/simple/"),
        ("https://me:secret@host/simple", "https://me:secret@host/simple/"),
    ],
)
def test_a_wheelhouse_may_be_an_index(tmp_path: Path, text: str, index: str) -> None:
    settings = load(tmp_path, f'wheelhouse = "{text}"\n')
    assert settings.backend.index == index
    assert settings.wheelhouse == Settings().wheelhouse
    assert settings.origin(OPTIONS["wheelhouse"]) == str(tmp_path / "whb.toml")
    assert load_with({"WHB_WHEELHOUSE": text}, tmp_path).backend.index == index
    assert "secret" not in show_settings(settings)


def test_an_index_is_shown_as_the_wheelhouse(tmp_path: Path) -> None:
    settings = load(tmp_path, 'wheelhouse = "https://host/simple/"\non-miss = "build"\nstore = "kept"\n')
    (tmp_path / "again").mkdir()
    assert load(tmp_path / "again", show_settings(settings)) == settings


def test_a_folder_beats_an_index_of_a_lower_source(tmp_path: Path) -> None:
    settings = load(tmp_path, 'wheelhouse = "https://host/simple/"\n', wheelhouse="here")
    assert (settings.backend.index, settings.wheelhouse) == (None, Path("here").absolute())


def test_a_file_url_is_a_folder(tmp_path: Path) -> None:
    settings = load(tmp_path, 'wheelhouse = "file:///srv/wheel%20house"\n')
    assert (settings.backend.index, settings.wheelhouse) == (None, Path("/srv/wheel house"))


@pytest.mark.parametrize(
    "text",
    [
        *("ftp://host/x", "https://", "https://host/x?y", "https://ho st/", "file://host/x"),
        *("file://[::1/x", "https://[::1/x/", "https:///simple/", "https://me@/simple/"),
        *("https://host:abc/simple/", "https://host:99999/simple/"),
    ],
)
def test_what_no_index_is(tmp_path: Path, text: str) -> None:
    assert "is not the URL of an index" in problems(tmp_path, f'wheelhouse = "{text}"\n')


def test_facts_of_the_project_are_known_in_pyproject_alone(tmp_path: Path) -> None:
    facts = 'build-backend = "x"\nbackend-path = ["."]\nkey-exclude = ["tests"]\n'
    (tmp_path / "pyproject.toml").write_text(f"[tool.whb]\n{facts}", encoding="utf-8")
    assert load_settings(environ={}, folder=tmp_path) == Settings()
    assert problems(tmp_path, facts).count("is a fact of the project") == 3


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from(sorted(OPTIONS)) | st.text(max_size=6), values, max_size=4))
def test_any_toml_gives_settings_or_a_usage_error(content: dict[str, object]) -> None:
    """Whatever a file says, the answer is settings or an error that names the file."""
    from unittest import mock

    with (
        mock.patch.object(Path, "read_text", return_value=""),
        mock.patch.object(tomllib, "loads", return_value=content),
    ):
        assert complaint({}, Path("/w/whb.toml")) in {"", "/w/whb.toml"}


@given(st.dictionaries(st.sampled_from([option.variable for option in OPTIONS.values()]), st.text(max_size=12)))
def test_any_environment_gives_settings_or_a_usage_error(environ: dict[str, str]) -> None:
    assert complaint(environ, None) in {"", *environ}


def complaint(environ: dict[str, str], file: Path | None) -> str:
    """The source that the (first) problem names, "" if there is none."""
    try:
        load_settings(environ=environ, folder=Path("/nowhere"), config_file=file)
    except UsageError as error:
        lines = [line for line in error.message.splitlines() if not line.endswith("problems in the settings:")]
        return "" if lines[0].startswith("no-binary and only-binary") else lines[0].partition(":")[0]
    return ""


# Time


@pytest.mark.parametrize(
    ("text", "duration", "shown"),
    [
        ("3 days", timedelta(days=3), "3 days"),
        ("1day", timedelta(days=1), "1 day"),
        ("30d", timedelta(days=30), "30 days"),
        ("12h", timedelta(hours=12), "12 hours"),
        ("36 hours", timedelta(hours=36), "36 hours"),
        ("4w", timedelta(weeks=4), "28 days"),
        ("30 min", timedelta(minutes=30), "30 minutes"),
        ("90s", timedelta(seconds=90), "90 seconds"),
        ("0 days", timedelta(), "0 days"),
    ],
)
def test_a_time_is_a_number_and_a_unit(text: str, duration: timedelta, shown: str) -> None:
    assert DURATION.parse(text) == duration
    assert DURATION.show(duration) == shown
    assert DURATION.parse(shown) == duration


@given(st.integers(0, 99_999), st.sampled_from(["s", "min", "minutes", "h", "hour", "days", "d", "w", "weeks"]))
def test_a_time_that_is_shown_reads_as_the_same(number: int, unit: str) -> None:
    duration = DURATION.parse(f"{number} {unit}")
    assert DURATION.parse(DURATION.show(duration)) == duration


@pytest.mark.parametrize(
    "text", ["", "3", "days", "3 months", "-1 day", "1.5 h", "3 days ago", "5 m", "100000 d", "3  days", "٣ days"]
)
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is no time") as caught:
        DURATION.parse(text)
    assert "3 days" in str(caught.value.hint)


# [constraints], hold and [refresh]


def test_constraints_are_a_table_of_names_or_a_list_of_files(tmp_path: Path) -> None:
    settings = load(tmp_path, '[constraints]\nCFFI = "<2"\n"zope.interface" = ">=5, <8"\n')
    assert settings.package_constraints == {"cffi": "<2", "zope-interface": "<8,>=5"}
    assert settings.constraints == ()
    assert settings.origins["constraints.cffi"] == str(tmp_path / "whb.toml")
    assert tomllib.loads(show_settings(settings))["constraints"] == settings.package_constraints
    settings = load(tmp_path, 'constraints = ["limits.txt"]\n')
    assert (settings.constraints, settings.package_constraints) == ((tmp_path / "limits.txt",), {})


def test_every_wrong_constraint_is_told_with_its_key(tmp_path: Path) -> None:
    text = '[constraints]\ncffi = "2.1"\nlxml = 5\n"no name" = "<2"\nZope_I = "<2"\nzope-i = "<2"\n'
    assert problems(tmp_path, text).splitlines() == [
        "4 problems in the settings:",
        "DIR/whb.toml: constraints.cffi: '2.1' is no version specifier (write it as <2, ==1.17.* or >=1,<3)",
        "DIR/whb.toml: constraints.lxml must be a string such as '<2', not 5",
        "DIR/whb.toml: constraints.no name: 'no name' is not a package name",
        "DIR/whb.toml: constraints.zope-i: zope-i is there twice",
    ]


def test_a_refresh_has_its_table(tmp_path: Path) -> None:
    text = 'min-age = "3 days"\nhold = ["CFFI"]\n[refresh]\nkeep-generations = 3\ngrace = "4w"\nreport = "out"\n'
    settings = load(tmp_path, text)
    assert (settings.min_age, settings.hold) == (timedelta(days=3), ("cffi",))
    assert (settings.refresh.keep_generations, settings.refresh.grace) == (3, timedelta(days=28))
    assert settings.refresh.report == tmp_path / "out"


def test_every_fault_of_a_refresh_is_told_at_once(tmp_path: Path) -> None:
    table = 'keep-generations = 0\ngrace = "long"\nmin-age = "3 days"\nreprot = "x"\n'
    text = f'min-age = 3\nhold = [":all:"]\n[refresh]\n{table}'
    assert problems(tmp_path, text).splitlines() == [
        "6 problems in the settings:",
        "DIR/whb.toml: min-age must be a time such as '3 days', not 3",
        "DIR/whb.toml: hold: ':all:' is not a package name",
        "DIR/whb.toml: refresh.keep-generations: '0' is not a whole number above zero",
        "DIR/whb.toml: refresh.grace: 'long' is no time (write it as 3 days, 12 hours, 30 min or 4w)",
        "DIR/whb.toml: unknown setting 'refresh.min-age' (did you mean min-age?)",
        "DIR/whb.toml: unknown setting 'refresh.reprot' (did you mean refresh.report?)",
    ]


def test_a_limit_of_a_build_leaves_some_time(tmp_path: Path) -> None:
    assert load(tmp_path, 'job-timeout = "90 min"').job_timeout == timedelta(minutes=90)
    assert problems(tmp_path, 'job-timeout = "0 s"') == (
        "DIR/whb.toml: job-timeout: '0 s' leaves no time (write it as 6 hours, 90 min or 2 days)"
    )


def test_wrong_tables_of_packages_are_told_with_the_rest(tmp_path: Path) -> None:
    text = 'jobs = "2"\n[packages.lxml]\nlibrariez = ["zlib"]\nnetwork = "yes"\n'
    assert problems(tmp_path, text).splitlines() == [
        "3 problems in the settings:",
        "DIR/whb.toml: jobs must be a whole number, not '2'",
        "DIR/whb.toml: packages.lxml: librariez: is not a key here (did you mean libraries?)",
        "DIR/whb.toml: packages.lxml: network: must be true or false",
    ]
