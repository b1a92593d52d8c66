"""Alpine packages without a container service: what is asked of it, what is kept, and what a user is told."""

from __future__ import annotations

import contextlib
import shutil
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.test_container_engine import PLACE
from wheelhouse_builder import oci
from wheelhouse_builder.engines.container import packages
from wheelhouse_builder.engines.container.packages import Installed, ensure_installed
from wheelhouse_builder.errors import JobError
from wheelhouse_builder.events import Event, Level, Note, ignore
from wheelhouse_builder.process import Canceller, Completed

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

WEEK = 7 * 24 * 3600
SAID = """\
(1/3) Installing libxml2 (2.13.9-r0)
( 2/3) Upgrading musl (1.2.5-r9 -> 1.2.5-r10)
(3/3) Installing libxml2-dev (2.13.9-r0)
Executing busybox-1.37.0-r30.trigger
OK: 12.3 MiB in 20 packages
"""
VERSIONS = "libxml2-2.13.9-r0 libxml2-dev-2.13.9-r0 musl-1.2.5-r10"


class Service:
    """Stands for `process.run`: a docker that has the image, and the packages that apk installs."""

    def __init__(self) -> None:
        self.now = 1_000_000.0
        self.entrypoint = "null"
        self.said = SAID
        self.fault = ""  # what docker or apk say that cannot
        self.labels: dict[str, dict[str, str]] = {}  # of the images that were made, by name
        self.ids: dict[str, str] = {}
        self.asked: list[list[str]] = []

    def __call__(self, argv: Sequence[str], **options: object) -> Completed:
        self.asked.append(list(argv))
        match list(argv)[1:]:
            case ["image", "inspect", "--format", "{{json .Config.Entrypoint}}", PLACE.image_id]:
                return Completed(self.entrypoint, 0)
            case ["image", "inspect", "--format", "{{json .Config.Cmd}}", PLACE.image_id]:
                return Completed('["/bin/bash"]', 0)
            case ["image", "inspect", "--format", form, name] if name in self.labels:
                labels = self.labels[name]
                if "Architecture" in form:
                    return Completed(f"arm64 {self.ids[name]}", 0)
                return Completed(f"{labels['whb.made']}\n{labels['whb.installed']}\n{self.ids[name]}\n", 0)
            case ["run", *_] if not self.fault:
                return Completed(self.said, 0)
            case ["commit", *changes, _, name]:
                pairs = [text.removeprefix("LABEL ").split("=", 1) for text in changes if text.startswith("LABEL ")]
                self.labels[name] = {label: value.strip('"') for label, value in pairs}
                self.ids[name] = f"sha256:{len(self.asked)}"
                return Completed("", 0)
            case ["ps", *_, label]:
                return Completed(f"container_of_{label.removeprefix('label=')}", 0)
            case ["rm" | "volume" | "image", *_] if "inspect" not in argv:
                return Completed("", 0)
        raise JobError("docker failed", tail=self.fault or "Error: No such image")

    def calls(self, *start: str) -> list[list[str]]:
        return [call[1:] for call in self.asked if call[1 : 1 + len(start)] == list(start)]


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Service:
    made = Service()
    monkeypatch.setattr(oci, "run", made)
    monkeypatch.setattr(shutil, "which", lambda program: f"/usr/bin/{program}")
    monkeypatch.setattr(packages, "time", SimpleNamespace(time=lambda: made.now))
    monkeypatch.setattr(packages, "_answers", {})
    return made


def installed(cache: Path, *names: str, **more: Any) -> Installed:
    options = {"may_make": True, "again": True, "cache": cache, "canceller": Canceller(), "listener": ignore, **more}
    return ensure_installed(PLACE, names or ("libxml2-dev",), **options)


def refused(cache: Path, **more: Any) -> JobError:
    with pytest.raises(JobError) as caught:
        installed(cache, **more)
    assert caught.value.everywhere
    assert caught.value.hint
    return caught.value


def test_apk_alone_runs_with_network_and_reaches_nothing_of_this_machine(service: Service, tmp_path: Path) -> None:
    told: list[Event] = []
    assert installed(tmp_path, "libxml2-dev", "libpq-dev", listener=told.append).packages == VERSIONS
    (command,) = service.calls("run")
    place = command.index(PLACE.image_id)
    assert command[place + 1 :] == ["apk", "add", "--no-cache", "libxml2-dev", "libpq-dev"]
    assert not {"--network", "--mount", "--volume", "-v", "--privileged"}.intersection(command[:place])
    assert "no-new-privileges" in command[:place]
    what = "the Alpine packages libxml2-dev, libpq-dev in whb-test/musllinux:arm64 for arm64"
    assert told == [Note(text=f"installing {what}")]


def test_the_image_starts_as_the_one_that_it_is_made_from(service: Service, tmp_path: Path) -> None:
    service.entrypoint = '["manylinux-entrypoint"]'
    installed(tmp_path)
    (run,), (commit,) = service.calls("run"), service.calls("commit")
    place = run.index(PLACE.image_id)
    assert run[place - 2 : place] == ["--entrypoint", "apk"]
    assert run[place + 1 :] == ["add", "--no-cache", "libxml2-dev"]
    assert 'ENTRYPOINT ["manylinux-entrypoint"]' in commit
    assert 'CMD ["/bin/bash"]' in commit
    assert {'ENV HTTP_PROXY=""', 'ENV https_proxy=""', 'LABEL whb.job=""', 'LABEL whb.owner=""'} <= set(commit)


def test_what_is_there_is_taken_by_any_process_and_offline(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = installed(tmp_path)
    monkeypatch.setattr(packages, "_answers", {})
    assert installed(tmp_path, may_make=False) == first
    assert len(service.calls("run")) == 1


def test_it_is_asked_once_in_a_process(service: Service, tmp_path: Path) -> None:
    first = installed(tmp_path)
    asked = len(service.asked)
    assert installed(tmp_path) is first
    assert len(service.asked) == asked


def test_other_packages_and_another_base_are_other_images(service: Service, tmp_path: Path) -> None:
    same = [("a", "b"), ("b", "a", "b")]
    assert len({installed(tmp_path, *names).image_id for names in same}) == 1
    assert len({installed(tmp_path, *names).image_id for names in [("a",), ("ab",), *same]}) == 3
    names = {packages._reference(place, ("a",)) for place in (PLACE, replace(PLACE, image_id="sha256:new"))}
    assert len(names) == 2


def test_after_a_week_it_is_made_anew_and_the_old_one_goes(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = installed(tmp_path)
    for passed, runs in ((WEEK - 1, 1), (1, 2)):
        monkeypatch.setattr(packages, "_answers", {})
        service.now += passed
        service.said = SAID.replace("2.13.9-r0", "2.13.9-r1")
        new = installed(tmp_path)
        assert len(service.calls("run")) == runs
    assert new.packages == VERSIONS.replace("2.13.9-r0", "2.13.9-r1")
    assert service.calls("image", "rm") == [["image", "rm", old.image_id]]


def test_an_old_one_stays_where_no_new_one_can_be_had_and_where_none_is_to_be_made(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = installed(tmp_path)
    service.now += WEEK
    service.fault = "WARNING: fetching https://x/APKINDEX.tar.gz: DNS: transient error\nERROR: unable to select"
    told: list[Event] = []
    for may_make in (False, True):
        monkeypatch.setattr(packages, "_answers", {})
        assert installed(tmp_path, listener=told.append, may_make=may_make) == old
    (warning,) = (note for note in told if isinstance(note, Note) and note.level is Level.WARNING)
    assert "fetching https://x/APKINDEX.tar.gz: DNS: transient error; those of the image whb-packages:" in warning.text
    assert "more than a week old" in warning.text


@pytest.mark.parametrize(
    ("said", "message", "hint", "kind"),
    [
        (
            "ERROR: unable to select packages:\n  nosuch (no such package):\n    required by: world[nosuch]",
            "there is no package nosuch",
            "correct apk in [packages.NAME]",
            "missing-library",
        ),
        (
            "WARNING: fetching https://x/APKINDEX.tar.gz: DNS: name does not exist\n  libxml2-dev (no such package):",
            "fetching https://x/APKINDEX.tar.gz: DNS: name does not exist",
            "/etc/apk/repositories",
            "network",
        ),
        (
            "WARNING: Ignoring https://x/APKINDEX.tar.gz: network error (check Internet connection and firewall)",
            "Ignoring https://x/APKINDEX.tar.gz: network error",
            "/etc/apk/repositories",
            "network",
        ),
        (
            'docker: Error response from daemon: exec: "apk": executable file not found in $PATH: unknown.\n\nRun x',
            "it has no apk",
            "container.images",
            "",
        ),
        (
            "Error: crun: executable file `apk` not found in $PATH: No such file or directory",
            "it has no apk",
            "container.images",
            "",
        ),
        (
            "ERROR: Unable to lock database: Permission denied\n\n",
            "ERROR: Unable to lock database: Permission denied",
            "docker run --rm whb-test/musllinux:arm64 apk add libxml2-dev",
            "",
        ),
    ],
)
def test_what_fails_names_the_packages_and_what_to_do(
    service: Service, tmp_path: Path, said: str, message: str, hint: str, kind: str
) -> None:
    service.fault = said
    error = refused(tmp_path)
    start = "the Alpine packages libxml2-dev cannot be installed in whb-test/musllinux:arm64 in docker: "
    assert error.message.startswith(start + message)
    assert hint in str(error.hint)
    assert error.kind == kind
    assert service.calls("commit") == []


@pytest.mark.parametrize("fault", ["", "broken"])
def test_its_container_is_removed_however_it_ends(service: Service, tmp_path: Path, fault: str) -> None:
    service.fault = fault
    with contextlib.suppress(JobError):
        installed(tmp_path)
    (job,) = (option for option in service.calls("run")[0] if option.startswith("whb.job="))
    assert service.calls("rm") == [["rm", "--force", "--volumes", f"container_of_{job}"]]


def test_offline_it_has_to_be_there(service: Service, tmp_path: Path) -> None:
    error = refused(tmp_path, may_make=False)
    assert "the Alpine packages libxml2-dev are not installed in whb-test/musllinux:arm64" in error.message
    assert "--offline" in str(error.hint)
    assert service.calls("run") == []


def test_a_plan_asks_once_and_each_build_tries_again(service: Service, tmp_path: Path) -> None:
    service.fault = "broken"
    for again in (False, False, True):
        refused(tmp_path, again=again)
    assert len(service.calls("run")) == 2
    service.fault = ""
    assert installed(tmp_path).packages == VERSIONS
    assert installed(tmp_path, again=False).packages == VERSIONS


def test_nothing_that_could_end_a_label_is_taken_from_apk(service: Service, tmp_path: Path) -> None:
    service.said = '(1/2) Installing a" b="1 (1.0)\n(2/2) Installing $(x) (1"0)\n(2/2) Installing good (1~2_rc3-r0)\n'
    assert installed(tmp_path).packages == "good-1~2_rc3-r0"
