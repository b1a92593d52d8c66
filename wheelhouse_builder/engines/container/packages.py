"""Alpine packages that a recipe names, installed into an image of their own, which its builds then have.

A build has no network, so nothing but `apk add` runs where there is one: in a container of the image that is built in,
of which nothing of this machine is in reach. What came of it is kept as a local image, for later builds and without
network, too. apk checks what it takes by the keys that the image has (apk-keys(5)).
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wheelhouse_builder.engines.container.labels import blank_labels, create_options, new_job
from wheelhouse_builder.errors import JobError, MachineError
from wheelhouse_builder.events import Level, Note
from wheelhouse_builder.locking import locked
from wheelhouse_builder.oci import PROXIES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from wheelhouse_builder.engines.container.preflight import Place
    from wheelhouse_builder.events import Listener
    from wheelhouse_builder.oci import Oci
    from wheelhouse_builder.process import Canceller

REPOSITORY = "whb-packages"  # the name of all such images
_BASE, _NAMES, _INSTALLED, _MADE = "whb.base", "whb.apk", "whb.installed", "whb.made"
_FRESH_SECONDS = 7 * 24 * 3600  # Alpine mends its packages under the same names
_SECONDS = 1800
# What apk-tools 2 and 3 say: "(1/2) Installing zlib (1.3.1-r2)", "(2/2) Upgrading musl (1.2.5-r9 -> 1.2.5-r10)".
_DONE = re.compile(r"^\( *\d+/\d+\) \w+ (?P<name>\S+) \((?:\S+ -> )?(?P<version>[^\s)]+)\)$", re.MULTILINE)
_PLAIN = re.compile(r"[\w+.~-]+", re.ASCII)
_NO_APK = re.compile(r"apk\W+(?:executable file )?not found|apk\W+no such file", re.IGNORECASE)
_NO_INDEX = re.compile(r"^WARNING: (?P<why>(?:fetching|updating|opening|[Ii]gnoring) .*)$", re.MULTILINE)
_NO_PACKAGE = re.compile(r"^ +(\S+) \(no such package\):$", re.MULTILINE)
# zig, which compiles in the image's place, looks into no folder of its system: Alpine's come after its own.
_FOLDERS_FOR_ZIG = {"C_INCLUDE_PATH": "/usr/include", "CPLUS_INCLUDE_PATH": "/usr/include"}


@dataclass(frozen=True, kw_only=True)
class Installed:
    """An image with the packages."""

    image_id: str
    packages: str  # what it has more than the image that it was made from: "libxml2-2.13.9-r0 libxml2-dev-2.13.9-r0"
    made: float  # seconds since the epoch


def ensure_installed(
    place: Place,
    names: Sequence[str],
    *,
    may_make: bool,
    again: bool,
    cache: Path,
    listener: Listener,
    canceller: Canceller,
) -> Installed:
    """The image of the place with these packages, made if it is not there or older than a week and `may_make`.

    `listener` hears of that, and is warned of an old one that stays since no newer can be had. What was found is
    remembered in this process; so is that there is none, unless it shall be tried `again`.
    Raises `JobError`, `MachineError` or `Cancelled`.
    """
    reference = _reference(place, names)
    question = (place.oci, reference)
    lock = cache / "packages" / f"{reference.partition(':')[2]}.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    with locked(lock, canceller):
        answer = _answers.get(question)
        if answer is None or (again and isinstance(answer, JobError)):
            image = _Image(place=place, names=tuple(names), reference=reference, canceller=canceller)
            try:
                answer = image.renewed(listener) if may_make else image.kept()
            except JobError as error:
                answer = error
            _answers[question] = answer
    if isinstance(answer, JobError):
        raise answer
    return answer


_answers: dict[tuple[Oci, str], Installed | JobError] = {}


def with_system_folders(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment of a build by zig that finds headers and libraries where Alpine packages have them."""
    link = f"{environment.get('LDFLAGS', '')} -L/usr/lib".strip()
    return {**environment, **_FOLDERS_FOR_ZIG, "LDFLAGS": link}


def _reference(place: Place, names: Iterable[str]) -> str:
    """What tells the image from others: another base or other packages are another image."""
    identity = "\0".join([place.image_id, *sorted(set(names))])
    return f"{REPOSITORY}:{hashlib.sha256(identity.encode()).hexdigest()[:16]}"


@dataclass(frozen=True, kw_only=True)
class _Image:
    """One image with packages, whether or not it is there."""

    place: Place
    names: tuple[str, ...]
    reference: str
    canceller: Canceller

    def renewed(self, listener: Listener) -> Installed:
        """The one that is there, if it is fresh, else a new one; if that cannot be made, the old one."""
        old = self._there()
        if old and time.time() - old.made < _FRESH_SECONDS:
            return old
        where = f"{self.place.image} for {self.place.arch.docker}"
        listener(Note(text=f"installing the Alpine packages {self._what} in {where}"))
        try:
            new = self._make()
        except JobError as error:
            if old is None:
                raise
            stays = f"those of the image {self.reference} are used, which is more than a week old"
            listener(Note(text=f"{error.message}; {stays}", level=Level.WARNING))
            return old
        if old:
            with contextlib.suppress(JobError):  # a build may still use it
                self.place.oci.call("image", "rm", old.image_id)
        return new

    def kept(self) -> Installed:
        """The one that is there. Raises `JobError` if there is none."""
        if found := self._there():
            return found
        raise JobError(
            f"the Alpine packages {self._what} are not installed in {self.place.name} yet",
            hint="a run without --offline does that once; later runs have them without network, too",
            everywhere=True,
        )

    @property
    def _what(self) -> str:
        return ", ".join(self.names)

    def _there(self) -> Installed | None:
        if self.place.oci.image_id(self.reference, self.place.arch) is None:
            return None
        labels = "".join(f'{{{{index .Config.Labels "{label}"}}}}\n' for label in (_MADE, _INSTALLED))
        made, packages, identity = self._inspect(self.reference, f"{labels}{{{{.Id}}}}").splitlines()
        return Installed(image_id=identity, packages=packages, made=float(made))

    def _inspect(self, image: str, form: str) -> str:
        return self.place.oci.call("image", "inspect", "--format", form, image)

    def _make(self) -> Installed:
        """Install, and keep the container as an image. Raises `JobError` with what apk said, as a user may read it."""
        oci, job = self.place.oci, new_job()
        container = f"whb-{secrets.token_hex(8)}"
        options = [*create_options(job), "--name", container, "--platform", f"linux/{self.place.arch.docker}"]
        options += ["--security-opt", "no-new-privileges"]
        start = {name: self._configured(name) for name in ("Entrypoint", "Cmd")}
        # Only what there is can be put back: a container's configuration stands in for what a commit would empty.
        program = ["--entrypoint", "apk", self.place.image_id] if start["Entrypoint"] else [self.place.image_id, "apk"]
        try:
            apk = ["run", *options, *program, "add", "--no-cache", *self.names]
            said = oci.call(*apk, timeout=_SECONDS, canceller=self.canceller)
            changes = [part for change in self._changes(start, said) for part in ("--change", change)]
            oci.call("commit", *changes, container, self.reference, timeout=_SECONDS, canceller=self.canceller)
        except JobError as error:
            raise self._why_not(error) from error
        finally:
            with contextlib.suppress(JobError, MachineError):
                oci.remove(job)
        return self.kept()

    def _configured(self, name: str) -> str:
        """What the image that it is made from has there, as JSON; empty for nothing."""
        value = self._inspect(self.place.image_id, f"{{{{json .Config.{name}}}}}")
        return "" if value in ("null", "[]") else value

    def _changes(self, start: Mapping[str, str], said: str) -> Iterator[str]:
        """How the image differs from its container: it starts as the one that it was made from."""
        yield from (f"{name.upper()} {value}" for name, value in start.items() if value)
        # docker writes the proxies of its configuration into the container's, with the passwords in them
        yield from (f'ENV {name}=""' for name in PROXIES)
        labels = {_BASE: self.place.image_id, _NAMES: " ".join(self.names), _INSTALLED: _installed(said)}
        labels |= {_MADE: str(int(time.time())), **blank_labels()}
        yield from (f'LABEL {name}="{value}"' for name, value in labels.items())

    def _why_not(self, error: JobError) -> JobError:
        """What docker or apk said, as one sentence and what to do."""
        said, program, image = error.tail, self.place.oci.program, self.place.image
        lines = [line.strip() for line in said.splitlines() if line.strip()]
        why, kind = lines[-1] if lines else error.message, error.kind
        hint = f"`{program} run --rm {image} apk add {' '.join(self.names)}` must work here"
        if _NO_APK.search(said):
            why, hint = "it has no apk", "container.images names another image; or leave apk out of [packages.NAME]"
        elif found := _NO_INDEX.search(said):
            why, kind = found["why"], "network"
            hint = "containers must reach what the image's /etc/apk/repositories names; later --offline will do, too"
        elif missing := _NO_PACKAGE.findall(said):
            why, kind = f"there is no package {', '.join(missing)}", "missing-library"
            hint = f"correct apk in [packages.NAME]: `{program} run --rm {image} apk search --no-cache …` finds names"
        what = f"the Alpine packages {self._what} cannot be installed in {self.place.name}: {why}"
        return JobError(what, hint=hint, tail=said, kind=kind, everywhere=True)


def _installed(said: str) -> str:
    """What apk says that it installed, in the order of the names."""
    found = {f"{done['name']}-{done['version']}" for done in _DONE.finditer(said)}
    return " ".join(sorted(name for name in found if _PLAIN.fullmatch(name)))
