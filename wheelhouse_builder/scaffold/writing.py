"""Writing what `whb init` made, over nothing that is somebody's."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from wheelhouse_builder.files import write_atomically
from wheelhouse_builder.scaffold.render import GITLAB_TOP, SETTINGS_FILE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from wheelhouse_builder.scaffold.surroundings import Surroundings


class Written(StrEnum):
    """What became of a file."""

    NEW = "new"
    REPLACED = "replaced"
    KEPT = "kept"  # it is there, and stays as it is


def write(around: Surroundings, texts: Mapping[str, str], *, force: bool) -> dict[str, Written]:
    """Write the files that are not there; with `force` the others, too. What became of each, by its path.

    GitLab's own file is never replaced: it is the whole of the project's CI. Nor is a settings file written beside a
    pyproject.toml that has the settings, which it would hide. Raises `OSError`.
    """
    done = {}
    for name, text in texts.items():
        path = around.folder / name
        hides = name == SETTINGS_FILE and around.settings_file not in (None, SETTINGS_FILE)
        if path.exists():
            done[name] = Written.REPLACED if force and name != GITLAB_TOP else Written.KEPT
        else:
            done[name] = Written.KEPT if hides else Written.NEW
        if done[name] is not Written.KEPT:
            write_atomically(path, text.encode())
    return done
