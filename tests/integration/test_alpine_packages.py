"""Alpine packages that recipes name: real apk, a real mirror, real builds that link what it has."""

from __future__ import annotations

import contextlib
import json
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from packaging.utils import canonicalize_name

from tests.integration.alpine_mirror import MUSLLINUX, Mirror, make_mirror, with_mirror
from tests.integration.conftest import in_alpine
from tests.integration.docker import docker, this_machine
from tests.integration.projects import c_extension, sdist
from tests.integration.web import serving_files
from wheelhouse_builder.engines.container.packages import REPOSITORY, ensure_installed
from wheelhouse_builder.engines.container.preflight import prepare
from wheelhouse_builder.errors import JobError
from wheelhouse_builder.events import ignore
from wheelhouse_builder.history.store import History
from wheelhouse_builder.process import Canceller
from wheelhouse_builder.settings.container import ContainerSettings
from wheelhouse_builder.target import Arch, Target
from wheelhouse_builder.wheelhouse.store import Wheelhouse

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.conftest import Whb

pytestmark = pytest.mark.integration

NAME = "whb-test/with-mirror:{arch}"
AMD, ARM = "musllinux_1_2_x86_64", "musllinux_1_2_aarch64"
AMD312 = ("--python", "3.12", "--arch", "amd64")
RECIPE = '[packages.asks]\napk = ["libwhbanswer-dev"]\n'


@dataclass(frozen=True, kw_only=True)
class World:
    """A mirror that is served, and images that know it."""

    whb: Whb
    mirror: Mirror

    def build(self, folder: Path, *arguments: str, name: str = "asks", **more: Any) -> dict[tuple[str, str], Any]:
        """Build an sdist that asks for the library; the rows of the report, by package and target."""
        archive = sdist(folder, name, asks(name, stamp=folder.stat().st_mtime_ns))
        done = self(folder, "build", "-P", f"{name} @ {archive.as_uri()}", "--json", *arguments, **more)
        return {(row["name"], row["target"]): row for row in json.loads(done)["rows"]}

    def __call__(self, folder: Path, *arguments: str, code: int = 0, **environment: str) -> str:
        """Run whb in a folder; its standard output."""
        images = ",".join(f"{arch.docker}={NAME.format(arch=arch.docker)}" for arch in Arch)
        environment = {"WHB_ENGINE": "cross,container", "WHB_CONTAINER_IMAGES": images, **environment}
        done = self.whb(*arguments, cwd=folder, **environment)
        assert done.returncode == code, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout


def asks(name: str, *, stamp: int) -> dict[str, str]:
    """A C extension that links the library as Alpine has it; `stamp` makes it what no earlier run has built."""
    files = c_extension(name, includes="#include <whb/answer.h>", body="return PyLong_FromLong(whb_answer());")
    linked = files["pyproject.toml"].replace(f'["{name}.c"]', f'["{name}.c"], libraries = ["whbanswer"]')
    return {**files, "pyproject.toml": f"# {stamp}\n{linked}"}


@pytest.fixture(scope="module")
def world(whb: Whb, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("mirror")
    mirror = make_mirror(folder)
    mirror.answer(42, "1.0-r0", whb.cache)
    with serving_files(mirror.folder, host=this_machine()) as at:
        for arch in Arch:
            with_mirror(mirror, at, arch, folder / f"image-{arch}", NAME.format(arch=arch.docker))
        try:
            yield World(whb=whb, mirror=mirror)
        finally:
            remove_images()
            docker("image", "rm", *(NAME.format(arch=arch.docker) for arch in Arch))


def remove_images() -> None:
    """Those with packages that were made of this run's."""
    ours = {docker("image", "inspect", "-f", "{{.Id}}", NAME.format(arch=arch.docker)).stdout for arch in Arch}
    for image in docker("image", "ls", "--quiet", REPOSITORY).stdout.split():
        if docker("image", "inspect", "-f", '{{index .Config.Labels "whb.base"}}', image).stdout in ours:
            docker("image", "rm", image)


@pytest.fixture(scope="module")
def built(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what both architectures gave."""
    folder = tmp_path_factory.mktemp("built")
    (folder / "whb.toml").write_text(RECIPE)
    rows = world.build(folder, "--python", "3.12", "--arch", "amd64", "--arch", "arm64")
    assert {row["status"] for row in rows.values()} == {"ready"}
    return folder


@pytest.mark.parametrize("platform", [AMD, ARM])
def test_what_links_an_alpine_package_is_built_in_the_container_and_loads_without_it(
    built: Path, platform: str
) -> None:
    wheels = {wheel.filename: wheel for wheel in Wheelhouse(built / "wheelhouse").wheels()}
    wheel = wheels[f"asks-1.0-cp312-cp312-{platform}.whl"]
    assert wheel.engine == "container"
    assert [(verdict.check, verdict.passed) for verdict in wheel.verdicts] == [("loader", True), ("import", True)]
    assert ("zig" in (wheel.native_tools or "")) is (platform == ARM)
    with zipfile.ZipFile(built / "wheelhouse" / wheel.filename) as archive:
        assert [name for name in archive.namelist() if name.startswith("asks.libs/libwhbanswer-")]


@pytest.mark.parametrize("arch", list(Arch))
def test_it_has_the_librarys_answer_in_an_alpine_that_has_no_such_library(built: Path, arch: Arch) -> None:
    assert answer_of(built / f"wheelhouse/asks-1.0-cp312-cp312-musllinux_1_2_{arch}.whl", arch) == "42"


def answer_of(wheel: Path, arch: Arch) -> str:
    with tempfile.TemporaryDirectory(prefix="whb-asks-") as unpacked:
        zipfile.ZipFile(wheel).extractall(unpacked)
        script = "! apk info -e libwhbanswer; PYTHONPATH=/asks python3 -c 'import asks; print(asks.answer())'"
        return in_alpine("3.12", arch.docker, script, (Path(unpacked), "/asks")).strip()


def test_the_history_says_which_packages_it_was_built_with(built: Path) -> None:
    attempts = History(Wheelhouse(built / "wheelhouse").history).attempts(name=canonicalize_name("asks"))
    assert {attempt.inputs["packages"] for attempt in attempts} == {"libwhbanswer-1.0-r0 libwhbanswer-dev-1.0-r0"}
    assert {attempt.strategy for attempt in attempts} == {"container-native", "container-accelerated"}


def test_the_image_with_packages_starts_as_the_one_that_it_was_made_from(built: Path) -> None:
    base = docker("image", "inspect", "-f", "{{json .}}", NAME.format(arch="amd64")).stdout
    (image,) = (image for image in images_with_packages() if image["Config"]["Labels"]["whb.base"] in base)
    was = json.loads(base)["Config"]
    assert {key: image["Config"][key] or [] for key in ("Entrypoint", "Cmd", "User", "WorkingDir")} == {
        key: was[key] or [] for key in ("Entrypoint", "Cmd", "User", "WorkingDir")
    }
    assert image["Config"]["Labels"]["whb.apk"] == "libwhbanswer-dev"
    assert docker("ps", "--all", "--quiet", "--filter", "ancestor=" + NAME.format(arch="amd64")).stdout == ""


def images_with_packages() -> list[dict[str, Any]]:
    return [
        json.loads(docker("image", "inspect", "-f", "{{json .}}", image).stdout)
        for image in docker("image", "ls", "--quiet", REPOSITORY).stdout.split()
    ]


def again(world: World, built: Path) -> dict[str, Any]:
    """The row of a later run that asks for the same."""
    done = world(built, "build", "-P", f"asks @ {(built / 'asks-1.0.tar.gz').as_uri()}", *AMD312, "--json")
    (row,) = json.loads(done)["rows"]
    return dict(row)


def test_a_second_run_has_nothing_to_do(world: World, built: Path) -> None:
    assert again(world, built)["decision"] == "reuse"


def test_once_they_are_installed_builds_have_them_offline(world: World, built: Path, tmp_path: Path) -> None:
    """With what an earlier build took: whose build requirements are known and here."""
    (tmp_path / "whb.toml").write_text(RECIPE)
    with gone(world.mirror):
        rows = world.build(tmp_path, *AMD312, "--offline", WHB_VERIFY_ENGINE="off")
    assert [row["status"] for row in rows.values()] == ["ready"]


def test_an_image_that_is_removed_is_made_anew_and_other_versions_in_it_mean_a_new_build(
    world: World, built: Path
) -> None:
    remove_images()
    assert again(world, built)["decision"] == "reuse"
    world.mirror.answer(43, "1.0-r1", world.whb.cache)
    remove_images()
    row = again(world, built)
    assert row["decision"] == "build"
    assert answer_of(built / "wheelhouse" / row["filename"], Arch.X86_64) == "43"


@contextlib.contextmanager
def gone(mirror: Mirror) -> Iterator[None]:
    """It has nothing meanwhile."""
    away = mirror.folder.rename(mirror.folder.with_name("away"))
    try:
        yield
    finally:
        away.rename(mirror.folder)


# What cannot be


@pytest.fixture(scope="module")
def without_apk(tmp_path_factory: pytest.TempPathFactory) -> str:
    context = tmp_path_factory.mktemp("without-apk")
    (context / "Dockerfile").write_text(f"FROM {MUSLLINUX.format(arch='amd64')}\nRUN rm /sbin/apk\n")
    docker("build", "--quiet", "--tag", "whb-test/without-apk:amd64", str(context))
    return "whb-test/without-apk:amd64"


def test_a_package_that_does_not_exist_fails_its_job(world: World, tmp_path: Path) -> None:
    (tmp_path / "whb.toml").write_text('[packages.asks]\napk = ["libwhbanswer-dev", "libwhbquestion-dev"]\n')
    (row,) = world.build(tmp_path, *AMD312, code=1, WHB_VERIFY_ENGINE="off").values()
    assert row["status"] == "failed"
    assert "in whb-test/with-mirror:amd64 in docker: there is no package libwhbquestion-dev" in row["message"]
    assert "correct apk in [packages.asks]" in row["hint"]


def refused(image: str, cache: Path, *, may_make: bool = True) -> JobError:
    """Why this image cannot have the library."""
    settings = ContainerSettings(images={Arch.X86_64: image})
    place = prepare(settings, Target((3, 12), Arch.X86_64), pull=False)
    options: dict[str, Any] = {"may_make": may_make, "again": True, "cache": cache, "canceller": Canceller()}
    with pytest.raises(JobError) as caught:
        ensure_installed(place, ("libwhbanswer",), listener=ignore, **options)
    return caught.value


def test_a_mirror_that_is_gone_is_named(world: World, tmp_path: Path) -> None:
    with gone(world.mirror):
        error = refused(NAME.format(arch="amd64"), tmp_path)
    assert "the Alpine packages libwhbanswer cannot be installed in whb-test/with-mirror:amd64" in error.message
    assert "/x86_64/index.adb: " in error.message
    assert "/etc/apk/repositories" in str(error.hint)


def test_an_image_without_apk_is_named(without_apk: str, tmp_path: Path) -> None:
    error = refused(without_apk, tmp_path)
    assert f"in {without_apk} in docker: it has no apk" in error.message
    assert "container.images" in str(error.hint)


def test_what_is_not_installed_yet_cannot_be_had_offline(world: World, tmp_path: Path) -> None:
    error = refused(NAME.format(arch="amd64"), tmp_path, may_make=False)
    assert "the Alpine packages libwhbanswer are not installed in whb-test/with-mirror:amd64" in error.message
    assert "without --offline" in str(error.hint)


def test_the_cross_engine_alone_names_the_setting(world: World, tmp_path: Path) -> None:
    (tmp_path / "whb.toml").write_text(RECIPE)
    (row,) = world.build(tmp_path, *AMD312, code=1, WHB_ENGINE="cross").values()
    assert row["decision"] == "impossible"
    assert 'engine = ["cross", "container"]' in row["reason"]


def test_a_plan_changes_nothing(world: World, tmp_path: Path) -> None:
    (tmp_path / "whb.toml").write_text('[packages.asks]\napk = ["libwhbanswer"]\n')
    before = docker("image", "ls", "--quiet", REPOSITORY).stdout
    archive = sdist(tmp_path, "asks", asks("asks", stamp=tmp_path.stat().st_mtime_ns))
    assert "asks" in world(tmp_path, "plan", "-P", f"asks @ {archive.as_uri()}", *AMD312)
    assert docker("image", "ls", "--quiet", REPOSITORY).stdout == before
