"""The files of `whb init`, filled in. Pure: surroundings in, text out."""

from __future__ import annotations

import json
import shlex
import tomllib
import zlib
from enum import StrEnum
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from wheelhouse_builder.errors import UsageError
from wheelhouse_builder.target import Arch
from wheelhouse_builder.template import fill, when
from wheelhouse_builder.toml import toml_value

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from wheelhouse_builder.scaffold.surroundings import Surroundings

_TEMPLATES = resources.files(__package__) / "templates"
SETTINGS_FILE = "whb.toml"
GITLAB_TOP = ".gitlab-ci.yml"


class Service(StrEnum):
    """What can run whb every night."""

    GITHUB = "github"
    GITLAB = "gitlab"
    SYSTEMD = "systemd"
    CRON = "cron"


# Where each file goes in the project's folder, and its template.
FILES: Mapping[Service, Mapping[str, str]] = {
    Service.GITHUB: {".github/workflows/wheelhouse.yml": "github.yml"},
    Service.GITLAB: {".gitlab/wheelhouse.yml": "gitlab.yml", GITLAB_TOP: "gitlab-ci.yml"},
    Service.SYSTEMD: {
        "systemd/whb-refresh.service": "whb-refresh.service",
        "systemd/whb-refresh.timer": "whb-refresh.timer",
    },
    Service.CRON: {"whb-refresh.cron": "whb-refresh.cron"},
}
_ON_CI = frozenset({Service.GITHUB, Service.GITLAB})


def render(around: Surroundings, services: Iterable[Service]) -> dict[str, str]:
    """The text of each file, by its path in the folder: the settings file, and those of the services.

    Raises `UsageError` where a service cannot have what the settings say.
    """
    chosen = {SETTINGS_FILE: SETTINGS_FILE}
    for service in services:
        if service in _ON_CI:
            _require_inside(around, service)
        chosen |= FILES[service]
    values = {**_actions(), **_fields(around)}
    return {path: fill(_template(name), values) for path, name in chosen.items()}


def _template(name: str) -> str:
    return (_TEMPLATES / name).read_text(encoding="utf-8")


def _require_inside(around: Surroundings, service: Service) -> None:
    """A CI service keeps what lies in the project's folder."""
    for name, path in (("wheelhouse", around.wheelhouse), ("refresh.report", around.report)):
        if Path(path).is_absolute():
            raise UsageError(
                f"--{service}: {name} is {path}, outside of {around.folder}, and is lost there when the job ends",
                hint=f"name a folder in here as {name} in whb.toml",
            )


def _actions() -> dict[str, str]:
    """How the workflow names each action: pinned, with the version for people."""
    pinned = tomllib.loads(_template("actions.toml"))
    return {name: "{repository}@{commit} # {version}".format(**action) for name, action in pinned.items()}


def _fields(around: Surroundings) -> dict[str, str | None]:
    watched = ["whb.toml", *("pyproject.toml" if name == "." else name for name in around.requirements)]
    outside = [path for path in (around.wheelhouse, around.report) if Path(path).is_absolute()]
    writable = [str(around.folder), *dict.fromkeys(outside)]
    return {
        "requirements": toml_value(around.requirements),
        "if_requirements": when(around.requirements),
        "if_none": when(not around.requirements),
        "others": ", ".join(around.others) or None,
        "pythons": toml_value(["{}.{}".format(*python) for python in around.pythons]),
        "archs": toml_value([arch.docker for arch in around.archs]),
        "if_amd64": when(Arch.X86_64 in around.archs),
        "if_arm64": when(Arch.AARCH64 in around.archs),
        "wheelhouse": around.wheelhouse,
        "wheelhouse_toml": toml_value(around.wheelhouse),
        "wheelhouse_paths": json.dumps(f"{around.wheelhouse}/"),
        "report": around.report,
        "report_toml": toml_value(around.report),
        "report_paths": json.dumps(f"{around.report}/"),
        "pack": json.dumps(f"tar -cf wheelhouse.tar {shlex.quote(around.wheelhouse)}"),
        "paths": json.dumps(watched),
        "python": "{}.{}".format(*max(around.pythons)),
        "requirement": f"wheelhouse-builder[build]=={around.version}",
        "minute": str(zlib.crc32(str(around.folder).encode()) % 60),  # not all at once, and always the same
        "folder": _specifiers(str(around.folder)),
        "user": around.user,
        "if_unprivileged": when(around.user != "root"),  # root's sandbox wants root's capabilities
        "command": " ".join(map(_systemd_word, around.command)),
        "writable": " ".join(map(_systemd_path, writable)),
        "path": _systemd_path(f"PATH={around.path}"),
        "cron_line": _cron(
            f"cd {shlex.quote(str(around.folder))} && "
            f"PATH={shlex.quote(around.path)} {shlex.join(around.command)} refresh --quiet"
        ),
    }


def _specifiers(text: str) -> str:
    """Text in a unit file, where % begins a specifier (systemd.unit(5))."""
    return text.replace("%", "%%")


def _systemd_path(text: str) -> str:
    return '"' + _specifiers(text).replace("\\", "\\\\").replace('"', '\\"') + '"'


def _systemd_word(text: str) -> str:
    """A word of a command line in a unit file (systemd.service(5))."""
    return _systemd_path(text).replace("$", "$$")


def _cron(text: str) -> str:
    """A command in a crontab, where % ends the line (crontab(5))."""
    return text.replace("%", "\\%")
