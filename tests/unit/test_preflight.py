"""The preflight without a container service: what each answer means, and what a user is told to do."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest

from wheelhouse_builder import oci
from wheelhouse_builder.engines.container import preflight
from wheelhouse_builder.engines.container.preflight import NoEmulationError, NoImageError, prepare
from wheelhouse_builder.errors import JobError, MachineError, UsageError
from wheelhouse_builder.process import Completed
from wheelhouse_builder.settings.container import ContainerSettings
from wheelhouse_builder.target import Arch, Target

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

ARM, X86 = Target((3, 12), Arch.AARCH64), Target((3, 12), Arch.X86_64)
IMAGE = "whb-test/musllinux:tag"
SETTINGS = ContainerSettings(images=dict.fromkeys(Arch, IMAGE))


class Service:
    """Stands for `process.run`: a docker on amd64 that has all, until a test takes something away."""

    def __init__(self) -> None:
        self.about = "20.10.24+dfsg1 amd64"
        self.images = {Arch.AARCH64.docker}  # the architectures of IMAGE that are here
        self.pullable: set[str] = set()
        self.machine = "aarch64"
        self.pythons = ["cp312-cp312", "cp313-cp313"]
        self.programs = ["cc"]
        self.free = 50 << 20  # KiB
        self.shares = True
        self.fault: str | None = None  # what a container says that cannot run
        self.asked: list[list[str]] = []

    def __call__(self, argv: Sequence[str], **options: object) -> Completed:
        self.asked.append(list(argv))
        match list(argv)[1:]:
            case ["version" | "info", *_]:
                return Completed(self.about, 0)
            case ["image", "inspect", *_] if self.images:
                return Completed(f"{sorted(self.images)[-1]} sha256:1", 0)
            case ["pull", "--quiet", "--platform", "linux/arm64", _] if self.pullable:
                self.images |= self.pullable
                return Completed("", 0)
            case ["pull", *_]:
                raise JobError("docker pull failed", tail="Error response from daemon: manifest unknown")
            case ["run", *rest]:
                return Completed(self._run(rest), 0)
        raise JobError(f"docker {argv[1]} failed", tail="no such thing")

    def _run(self, rest: list[str]) -> str:
        if self.fault is not None:
            raise JobError("docker run failed", tail=self.fault)
        mounts = "--mount" in rest
        if mounts and not self.shares:
            raise JobError("docker run failed", tail="invalid mount config: bind source path does not exist: /tmp/x")
        lines = [f"machine {self.machine}", *(f"python {name}" for name in self.pythons)]
        lines += [f"program {name}" for name in self.programs] + ["shares files"] * mounts
        return "\n".join([*lines, "free Available", f"free {self.free}"])


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Service:
    made = Service()
    monkeypatch.setattr(oci, "run", made)
    monkeypatch.setattr(shutil, "which", lambda program: f"/usr/bin/{program}")
    monkeypatch.setattr(preflight, "_answers", {})
    return made


def refused(settings: ContainerSettings = SETTINGS, target: Target = ARM, **options: Any) -> MachineError:
    with pytest.raises(MachineError) as caught:
        prepare(settings, target, **{"pull": True, **options})
    assert caught.value.hint
    return caught.value


def test_what_is_found(service: Service) -> None:
    place = prepare(SETTINGS, ARM, pull=False)
    assert (place.image, place.image_id, place.emulated, place.shares_files) == (IMAGE, "sha256:1", True, True)
    assert place.pythons == {"cp312-cp312", "cp313-cp313"}
    assert (place.has_compiler, place.has_cargo, place.free) == (True, False, 50 << 30)
    assert "emulated, 50.0 GiB free" in place.told


def test_it_is_found_out_once_for_all_pythons(service: Service) -> None:
    place = prepare(SETTINGS, ARM, pull=True)
    asked = len(service.asked)
    assert prepare(SETTINGS, Target((3, 13), Arch.AARCH64), pull=True) is place
    assert len(service.asked) == asked


def test_what_was_missing_is_looked_at_again(service: Service) -> None:
    service.images = set()
    refused()
    service.images = {"arm64"}
    assert prepare(SETTINGS, ARM, pull=True).image == IMAGE


def test_a_native_container(service: Service) -> None:
    service.about = "28.2.2 arm64"
    assert not prepare(SETTINGS, ARM, pull=False).emulated


def test_whether_files_are_shared_is_tried_where_they_are(service: Service, tmp_path: Path) -> None:
    prepare(SETTINGS, ARM, pull=False, cache=tmp_path / "a,cache")
    (option,) = (call[call.index("--mount") + 1] for call in service.asked if "--mount" in call)
    assert option.startswith(f'type=bind,"source={tmp_path}/a,cache/whb-seen-')
    assert list((tmp_path / "a,cache").iterdir()) == []


def test_a_service_elsewhere_has_none_of_our_folders(service: Service) -> None:
    service.shares = False
    assert not prepare(SETTINGS, ARM, pull=False).shares_files


@pytest.mark.parametrize(
    ("engine", "about", "wanted"),
    [("docker", "19.03.15 amd64", "20.10"), ("podman", "2.2.1 amd64", "3.0"), ("docker", "20.9.0 amd64", "20.10")],
)
def test_a_service_that_is_too_old(engine: str, about: str, wanted: str, service: Service) -> None:
    service.about = about
    error = refused(ContainerSettings(engine=engine, images=SETTINGS.images))
    assert f"{about.removesuffix(' amd64')} is too old: cibuildwheel wants {wanted}" in error.message


@pytest.mark.parametrize("about", ["master-dockerproject-2021 amd64", "3.0.0 amd64", "28.2.2 amd64"])
def test_versions_that_do(about: str, service: Service) -> None:
    service.about = about
    engine = "podman" if about.startswith("3.") else "docker"
    place = prepare(ContainerSettings(engine=engine, images=SETTINGS.images), ARM, pull=False)
    assert place.version == about.removesuffix(" amd64")


def test_no_image(service: Service) -> None:
    service.images = set()
    error = refused(pull=False)
    assert isinstance(error, NoImageError)
    assert error.message == f"docker has no image {IMAGE} for arm64"
    assert error.hint == f"`docker pull --platform linux/arm64 {IMAGE}` gets it"
    assert not any(call[1] == "pull" for call in service.asked)


def test_no_image_to_be_had(service: Service) -> None:
    service.images = set()
    error = refused()
    assert isinstance(error, NoImageError)
    assert error.message.endswith("cannot get it: Error response from daemon: manifest unknown")
    assert "container.images" in str(error.hint)


def test_an_image_is_pulled(service: Service) -> None:
    service.images, service.pullable = set(), {"arm64"}
    told: list[str] = []
    assert prepare(SETTINGS, ARM, pull=True, tell=told.append).image_id == "sha256:1"
    assert told == [f"getting the image {IMAGE} for arm64"]


def test_an_image_of_the_other_architecture(service: Service) -> None:
    service.images, service.pullable = {"amd64"}, {"amd64"}
    error = refused()
    assert (error.message, isinstance(error, NoImageError)) == (f"the image {IMAGE} is not for arm64", False)
    assert "container.images, arm64 = " in str(error.hint)


def test_an_image_that_lies_about_its_architecture(service: Service) -> None:
    service.machine = "x86_64"
    assert refused().message == f"the image {IMAGE} says that it is for arm64, and runs as x86_64"


NO_BINFMT = "exec /bin/sh: exec format error"
NO_BINFMT_PODMAN = "Error: exec container process `/bin/sh`: Exec format error"
NO_BINFMT_OLD = "standard_init_linux.go:228: exec user process caused: exec format error"
NO_F = "exec /bin/sh: no such file or directory"
NO_F_OLD = "standard_init_linux.go:228: exec user process caused: no such file or directory"


@pytest.mark.parametrize("said", [NO_BINFMT, NO_BINFMT_PODMAN, NO_BINFMT_OLD, NO_F, NO_F_OLD])
def test_without_emulation(said: str, service: Service) -> None:
    service.fault = said
    error = refused()
    assert isinstance(error, NoEmulationError)
    assert "QEMU is not registered with binfmt_misc and the flag F" in error.message
    assert "`whb doctor --engine container --install`" in str(error.hint)
    assert "tonistiigi/binfmt --install arm64" in str(error.hint)


def test_without_emulation_on_another_machine_the_hint_names_that(service: Service) -> None:
    service.fault = NO_BINFMT
    error = refused(ContainerSettings(images=SETTINGS.images, hosts={Arch.AARCH64: "tcp://pi:2376"}))
    assert "whb doctor" not in str(error.hint)
    assert "--install arm64` on tcp://pi:2376" in str(error.hint)


def test_an_image_whose_programs_are_of_another_architecture_than_the_machine(service: Service) -> None:
    service.images, service.fault = {"amd64"}, NO_BINFMT
    error = refused(target=X86)
    assert not isinstance(error, NoEmulationError)
    assert "says that it is for amd64, and holds programs of another architecture" in error.message


@pytest.mark.parametrize(
    "said", ['exec: "/bin/sh": stat /bin/sh: no such file or directory: unknown.', "OCI runtime error: whatever", ""]
)
def test_an_image_that_does_not_run(said: str, service: Service) -> None:
    service.fault = said
    error = refused()
    assert not isinstance(error, NoEmulationError)
    assert f"docker cannot run {IMAGE}: {said or 'docker run failed'}" in error.message


@pytest.mark.parametrize(("pythons", "there"), [(["cp313-cp313"], "cp313-cp313"), ([], "nothing")])
def test_an_image_without_the_python(pythons: list[str], there: str, service: Service) -> None:
    service.pythons = pythons
    error = refused()
    assert error.message == f"the image {IMAGE} has no Python 3.12: /opt/python holds {there}"


def test_a_store_that_is_full(service: Service) -> None:
    service.free = 100 << 10
    error = refused()
    assert error.message == "the store of docker has only 100 MiB left"
    assert "`docker system df`" in str(error.hint)


def test_podman_has_no_contexts(service: Service) -> None:
    with pytest.raises(UsageError, match="'pi' is no host for podman"):
        prepare(ContainerSettings(engine="podman", hosts={Arch.AARCH64: "pi"}), ARM, pull=False)
