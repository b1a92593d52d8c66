"""What whb tells cibuildwheel, read with cibuildwheel's own readers, and what whb makes of what that says."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest
from cibuildwheel import errors
from cibuildwheel.frontend import parse_config_settings, prepare_config_settings
from cibuildwheel.options import CommandLineArguments, Options
from cibuildwheel.platforms import get_build_identifiers, linux

from wheelhouse_builder.engines.container.cibuildwheel import (
    Aim,
    Order,
    before_the_build,
    configuration,
    identifier,
    keep_files,
    meaning_of,
    step_of,
    taken_peak,
    wheels_for,
)
from wheelhouse_builder.engines.container.cibuildwheel import (
    _Told as Told,
)
from wheelhouse_builder.engines.container.labels import create_options, is_dead, new_job, remove_left_behind
from wheelhouse_builder.errors import JobError
from wheelhouse_builder.target import Target

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from wheelhouse_builder.oci import Oci

AMD312, AMD313, ARM312, ARM313 = (
    Target.parse(f"cp{python}-musllinux_1_2_{arch}") for arch in ("x86_64", "aarch64") for python in (312, 313)
)
# What bash, TOML or shlex would read as something else.
ODD = [
    "a b",
    'say "hi"',
    "$HOME",
    "`ls`",
    "$(ls)",
    "back\\slash",
    "\\n",
    "it's",
    "a\x1fb",
    "a;b|c&d",
    "{a,b}",
    "*",
    "",
    "ü",
    "two\nlines\n",
    "a\r\n\tb",
    "~/x",
    "# x #y",
    "! x=!y",
    "'\"'",
    "$((1+1))${HOME}$'x'",
    "trailing\\",
    "{project} {package}/x",
    "#{package} ##{project}",
]


def order(*targets: Target, **more: Any) -> Order:
    own = {name: more.pop(name, {}) for name in ("environment", "config_settings")}
    fields: dict[str, Any] = {
        "aims": tuple(Aim(target=target, **own) for target in targets or (ARM312,)),
        "tree": Path("/work/source"),
        "image": "sha256:abc",
        "create_args": ("--network", "none"),
        "path": (),
        "uv": True,
        "take_wheel": Path("/scratch/take_wheel.py"),
    }
    return Order(**(fields | more))


def read(tmp_path: Path, order: Order, project: str = "") -> Options:
    """The options that cibuildwheel comes to, of a package that has its own wishes."""
    own = '[tool.cibuildwheel]\nskip = "*musllinux*"\ntest-command = "false"\nbefore-all = "yum install x"\n'
    (tmp_path / "pyproject.toml").write_text(own + project)
    (tmp_path / "whb.toml").write_text(configuration(order, "docker"))
    arguments = CommandLineArguments.defaults()
    arguments.package_dir = tmp_path
    arguments.config_file = str(tmp_path / "whb.toml")
    arguments.archs = str(order.arch)
    return Options(platform="linux", command_line_arguments=arguments, env={})


def selected(options: Options) -> list[str]:
    return get_build_identifiers(linux, options.globals.build_selector, options.globals.architectures)


@pytest.mark.parametrize("targets", [(AMD312,), (ARM312, ARM313)])
def test_it_builds_the_targets_and_nothing_else(tmp_path: Path, targets: tuple[Target, ...]) -> None:
    assert selected(read(tmp_path, order(*targets))) == [identifier(target) for target in targets]


def test_a_python_that_the_source_is_not_for_is_left_out(tmp_path: Path) -> None:
    options = read(tmp_path, order(ARM312, ARM313), '[project]\nname = "x"\nrequires-python = ">=3.13"\n')
    assert selected(options) == ["cp313-musllinux_aarch64"]


def test_what_the_package_says_to_cibuildwheel_does_not_count(tmp_path: Path) -> None:
    options = read(tmp_path, order()).build_options("cp312-musllinux_aarch64")
    assert (options.test_command, options.before_all, options.audit_command) == ("", "", [])
    assert (options.dependency_constraints.base_file_path, options.build_frontend.name) == (None, "uv")


def test_only_a_recipe_has_something_run_before_the_build(tmp_path: Path) -> None:
    project = 'before-build = "false"\n'  # of the package's own [tool.cibuildwheel]
    assert read(tmp_path, order(), project).build_options(identifier(ARM312)).before_build == ""
    command = 'echo "$A \\" {package}" >x\n'
    options = read(tmp_path, order(before_build=command), project).build_options(identifier(ARM312))
    assert options.before_build == command


def test_the_container_is_what_was_asked_for(tmp_path: Path) -> None:
    create_args = ("--network", "none", "--volume", "/odd; path/$x:/odd; path/$x:ro")
    options = read(tmp_path, order(create_args=create_args)).build_options("cp312-musllinux_aarch64")
    engine = options.container_engine
    assert (engine.name, engine.disable_host_mount) == ("docker", True)
    assert engine.create_args == (*create_args, "--env", "PYTHONSAFEPATH=1")
    assert options.musllinux_images is not None
    assert options.musllinux_images["aarch64"] == "sha256:abc"
    assert options.repair_command == "python -I /scratch/take_wheel.py {wheel} {dest_dir} /libraries"


def environment(tmp_path: Path, order: Order) -> Mapping[str, str]:
    options = read(tmp_path, order).build_options("cp312-musllinux_aarch64")
    return options.environment.as_dictionary({"PATH": "/bin", "PYTHONSAFEPATH": "1"})


@pytest.mark.parametrize("value", ODD)
def test_variables_arrive_as_they_are(tmp_path: Path, value: str) -> None:
    assert environment(tmp_path, order(environment={"X": value, "Y": "y"})) == {
        "PATH": "/bin",
        "PYTHONSAFEPATH": "",
        "X": value,
        "Y": "y",
    }


def test_each_python_has_its_own_variables(tmp_path: Path) -> None:
    aims = tuple(
        Aim(target=target, environment={"FOR": target.interpreter}, config_settings={}) for target in (ARM312, ARM313)
    )
    options = read(tmp_path, order(aims=aims))
    for target in (ARM312, ARM313):
        there = options.build_options(identifier(target)).environment.as_dictionary({})
        assert there["FOR"] == target.interpreter


def test_own_folders_come_before_path(tmp_path: Path) -> None:
    assert environment(tmp_path, order(path=("/a $b", "/c")))["PATH"] == "/a $b:/c:/bin"
    assert environment(tmp_path, order())["PATH"] == "/bin"


@pytest.mark.parametrize("value", [*ODD, ["one", "two words"]])
def test_config_settings_arrive_as_they_are(tmp_path: Path, value: str | Sequence[str]) -> None:
    options = read(tmp_path, order(config_settings={"setup-args": value}))
    text = options.build_options("cp312-musllinux_aarch64").config_settings
    given = parse_config_settings(prepare_config_settings(text, project="/project", package="/project"))
    assert given == {"setup-args": value}


# what it says


def test_phases_are_told_as_they_begin() -> None:
    told: list[str] = []
    hear = Told(told.append, (ARM312,))
    building = "Building wheel..."  # cibuildwheel says it, and uv once more
    for line in ("Starting container image x...", "Building cp312-musllinux_aarch64 wheel", building, building, "x"):
        hear(line)
    assert told == ["start the container", "build"]
    assert step_of("    + Building wheel") is None


@pytest.mark.parametrize(
    ("error", "meaning"),
    [
        (errors.FatalError("x"), "the build in the container failed"),
        (errors.ConfigurationError("x"), "cibuildwheel does not take the source or its configuration"),
        (errors.NothingToDoError("x"), "the source is not for this Python, as its requires-python says"),
        (errors.BuildProducedNoWheelError(), "the build backend made no wheel"),
        (errors.AlreadyBuiltWheelError("x.whl"), "the build made one wheel twice, under one name"),
        (errors.RepairStepProducedNoWheelError(), "the wheel that was built could not be taken out of the container"),
        (errors.RepairStepProducedMultipleWheelsError(["a.whl", "b.whl"]), "could not be taken out of the container"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_exit_codes_of_cibuildwheel_mean(error: errors.FatalError, meaning: str) -> None:
    assert meaning_of(error.return_code).endswith(meaning)


def test_what_a_package_says_of_the_service_does_not_count() -> None:
    own = "Starting container image x...\nError: no space left on device\n"
    forged = "Cannot connect to the Docker daemon. Is the docker daemon running?\n"
    assert before_the_build(own) == own
    assert before_the_build(f"{own}\nRunning before_build...\n{forged}\nBuilding wheel...\n") == own
    assert before_the_build(f"Copying project into container...\n\nBuilding wheel...\n{forged}").split() == [
        "Copying",
        "project",
        "into",
        "container...",
    ]


def test_of_several_pythons_the_phase_says_which() -> None:
    told: list[str] = []
    hear = Told(told.append, (ARM312, ARM313))
    for line in ("Building cp313-musllinux_aarch64 wheel", "Building wheel..."):
        hear(line)
    assert told == ["build, Python 3.13"]


def test_each_python_gets_its_wheel() -> None:
    wheels = [Path(f"demo-1.0-cp{minor}-cp{minor}-linux_aarch64.whl") for minor in (313, 312)]
    assert wheels_for([ARM312, ARM313], wheels) == {ARM312: wheels[1], ARM313: wheels[0]}
    assert wheels_for([ARM312, ARM313], wheels[:1]) == {ARM313: wheels[0]}


@pytest.mark.parametrize("tag", ["cp39-abi3-linux_aarch64", "py3-none-linux_aarch64", "py3-none-any"])
def test_a_wheel_for_several_pythons_is_the_lowest_ones(tag: str) -> None:
    wheel = Path(f"demo-1.0-{tag}.whl")
    assert wheels_for([ARM313, ARM312], [wheel]) == {ARM312: wheel}


@pytest.mark.parametrize("name", ["evil.whl", "demo-1.0-\x1b[31m-none-any-1-2-3.whl", "demo-not!1-py3-none-any.whl"])
def test_a_file_with_another_name_is_no_wheel(name: str) -> None:
    with pytest.raises(JobError, match="not the name of a wheel") as caught:
        wheels_for([ARM312], [Path(name)])
    assert caught.value.message.isprintable()


def test_of_what_a_build_put_into_a_folder_files_are_taken_alone(tmp_path: Path) -> None:
    secret, folder = tmp_path / "secret", tmp_path / "out"
    secret.touch()
    folder.mkdir()
    (folder / "demo.whl").touch()
    (folder / "link.whl").symlink_to(secret)
    (folder / "dangling.whl").symlink_to(tmp_path / "nowhere")
    (folder / "folder.whl").mkdir()
    (folder / "folder.whl/inner").touch()
    (folder / "folder-link.whl").symlink_to(tmp_path)
    os.mkfifo(folder / "pipe.whl")
    keep_files(folder)
    assert [path.name for path in folder.iterdir()] == ["demo.whl"]
    assert secret.exists()
    keep_files(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("text", "peak"), [("4096\n", 4096), ("", None), ("max\n", None), ("-1", None), ("9" * 99, 10**20 - 1)]
)
def test_memory_is_what_a_container_notes(tmp_path: Path, text: str, peak: int | None) -> None:
    """Which may note anything."""
    note = tmp_path / ".memory-peak"
    note.write_text(text)
    assert taken_peak(note) == peak
    assert not note.exists()
    assert taken_peak(note) is None


# labels


def test_a_process_that_runs_is_not_dead() -> None:
    owner = create_options(new_job())[-1].partition("=")[2]
    assert not is_dead(owner)
    machine, pid, started = owner.rsplit(".", 2)
    assert is_dead(f"{machine}.{pid}.{int(started) - 1}")  # its number was given again
    assert is_dead(f"{machine}.{2**22 + 1}.{started}")  # beyond what numbers there are
    assert not is_dead(f"another-{machine}.{pid}.1")
    assert not is_dead("")


def test_jobs_have_labels_of_their_own() -> None:
    assert new_job() != new_job()


@dataclass(frozen=True)
class Left:
    """A service with a container and a volume of each of these owners."""

    owners: tuple[str, ...]
    removed: list[tuple[str, ...]] = field(default_factory=list, hash=False)

    def call(self, *arguments: str) -> str:
        if "rm" in arguments:
            self.removed.append(arguments)
        if "inspect" in arguments:
            return self.owners[int(arguments[-1])]
        return "\n".join(str(number) for number in range(len(self.owners)))


def test_what_dead_processes_left_is_removed_and_nothing_else() -> None:
    owner = create_options(new_job())[-1].partition("=")[2]
    dead = f"{owner.rpartition('.')[0]}.1"
    service = Left((owner, dead, ""))
    remove_left_behind(cast("Oci", service))
    assert service.removed == [("rm", "--force", "--volumes", "1"), ("volume", "rm", "--force", "1")]
