"""What CI services read out of a job's output: groups of lines, annotations, and commands that nobody shall smuggle in.

GitHub's runner takes a line that begins with `::` for a command, and `##[` anywhere in a line
(https://github.com/actions/runner, src/Runner.Common/ActionCommand.cs); it reads both streams. What packages print
must be neither. GitLab's sections begin and end with control characters, which whb lets nobody print
(https://docs.gitlab.com/ci/jobs/job_logs/).
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


class Ci(StrEnum):
    """The services that read more than text."""

    GITHUB = "github"
    GITLAB = "gitlab"


def running_on(environ: Mapping[str, str]) -> Ci | None:
    """The service that this process runs on, by the variables that it sets in each job."""
    known = {"GITHUB_ACTIONS": Ci.GITHUB, "GITLAB_CI": Ci.GITLAB}
    return next((ci for variable, ci in known.items() if environ.get(variable) == "true"), None)


def defused(text: str) -> str:
    """The same text without a command for GitHub's runner."""
    lines = (f"| {line}" if line.lstrip().startswith("::") else line for line in text.split("\n"))
    return "\n".join(lines).replace("##[", "# #[")


def defused_json(text: str) -> str:
    """The same JSON, written without a command for GitHub's runner."""
    return text.replace("##[", r"#\u0023[")


def annotation(title: str, text: str) -> str:
    """An error for GitHub to show beside the run."""
    return f"::error title={_escaped(title).replace(':', '%3A').replace(',', '%2C')}::{_escaped(text)}"


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def group_start(ci: Ci, name: str, now: float) -> str:
    """The line that begins a group; `now` is the time in seconds since 1970."""
    return f"::group::{name}" if ci is Ci.GITHUB else f"\x1b[0Ksection_start:{int(now)}:whb_{name}\r\x1b[0K{name}"


def group_end(ci: Ci, name: str, now: float) -> str:
    """The line that ends it."""
    return "::endgroup::" if ci is Ci.GITHUB else f"\x1b[0Ksection_end:{int(now)}:whb_{name}\r\x1b[0K"
