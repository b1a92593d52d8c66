"""GitHub's runner, as far as our workflow goes: its steps for real, the actions as folders that are copied."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Mapping

_EXPRESSION = re.compile(r"\$\{\{ (.+?) \}\}")
# That come from outside the project: whoever runs the workflow has them ready, as the machines of the service do.
_READY = ("answers", "cargo", "rust", "targets", "toolchains", "uv", "zig")


def load_workflow(file: Path) -> Any:
    """Its YAML; every scalar is text, so that the key `on` is no truth value."""
    return yaml.load(file.read_text(encoding="utf-8"), Loader=yaml.BaseLoader)


@dataclass
class Runner:
    """Runs the jobs of a workflow; what it keeps from one run to the next is in `folder`."""

    project: Path  # what is checked out
    folder: Path
    cache: Path  # whb's, with toolchains that are ready
    run_id: int = 0
    kept: dict[str, dict[str, Path]] = field(default_factory=dict)  # by the paths, then by the key, oldest first
    artifacts: dict[str, Path] = field(default_factory=dict)

    def run(self, workflow: Any) -> dict[str, JobRun]:
        """One run of all jobs, in the order of the file; a matrix gives one for each entry."""
        self.run_id += 1
        self.artifacts = {}
        done = {}
        for name, job in workflow["jobs"].items():
            for entry in job.get("strategy", {}).get("matrix", {}).get("include", [{}]):
                title = " ".join([name, *entry.values()][:2])
                variables = {**workflow["env"], **job.get("env", {})}
                done[title] = JobRun(runner=self, variables=variables, matrix=entry, title=title)
                done[title].run(job["steps"])
        return done

    def fresh_folder(self, name: str) -> Path:
        """A folder of that name for this run alone."""
        path = self.folder / f"{self.run_id}-{name}".replace(" ", "-")
        path.mkdir(parents=True)
        return path


@dataclass
class JobRun:
    """One job of one run."""

    runner: Runner
    variables: Mapping[str, str]
    matrix: Mapping[str, str]
    title: str
    failed: bool = False
    said: str = ""

    def run(self, steps: Any) -> None:
        """All steps; after one that failed those alone that want to run all the same."""
        self.workspace = self.runner.fresh_folder(self.title)
        for name in _READY:
            if (self.runner.cache / name).exists():
                (self.workspace / "whb-cache").mkdir(exist_ok=True)
                (self.workspace / "whb-cache" / name).symlink_to(self.runner.cache / name)
        for step in steps:
            wanted = self._value(step["if"]) if "if" in step else str(not self.failed)
            if wanted == "True":
                self._step(step)

    def _value(self, text: str) -> str:
        """The text with its expressions worked out; of one that this runner does not know it fails."""
        known = {
            "github.workspace": str(self.workspace),
            "github.run_id": f"{self.runner.run_id}",
            "github.run_attempt": "1",
            "!cancelled()": "True",
            **{f"matrix.{name}": value for name, value in self.matrix.items()},
        }
        return _EXPRESSION.sub(lambda match: known[match[1]], text)

    def _step(self, step: Any) -> None:
        if "run" in step:
            self._script(self._value(step["run"]))
            return
        action = step["uses"].partition("@")[0]
        given = {name: self._value(value) for name, value in step.get("with", {}).items()}
        {
            "actions/checkout": self._check_out,
            "actions/setup-python": self._nothing,
            "docker/setup-qemu-action": self._nothing,
            "actions/cache/restore": self._restore,
            "actions/cache/save": self._save,
            "actions/upload-artifact": self._upload,
            "actions/download-artifact": self._download,
        }[action](given)

    def _script(self, script: str) -> None:
        """As the service runs it: `bash -e`, with the variables of the workflow."""
        own = {name: self._value(value) for name, value in self.variables.items()}
        env = {**os.environ, **own, "GITHUB_ACTIONS": "true", "CI": "true", "WHB_VERIFY_ENGINE": "off"}
        env |= {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "GITHUB_STEP_SUMMARY": str(self.workspace / "summary.md"),
        }
        done = subprocess.run(
            ["bash", "-e", "-c", script],
            cwd=self.workspace,
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        self.said += done.stdout
        self.failed |= done.returncode != 0

    def _check_out(self, _: Mapping[str, str]) -> None:
        shutil.copytree(self.runner.project, self.workspace, dirs_exist_ok=True)

    def _nothing(self, _: Mapping[str, str]) -> None:
        """This machine is as the action would make it."""

    def _restore(self, given: Mapping[str, str]) -> None:
        """The files kept under this key, else those last kept under one that begins like `restore-keys`."""
        kept = self.runner.kept.get(given["path"], {})
        like = [key for key in kept if key.startswith(given["restore-keys"])]
        for key in [given["key"]] if given["key"] in kept else like[-1:]:
            shutil.copytree(kept[key], self.workspace, dirs_exist_ok=True, symlinks=True)

    def _save(self, given: Mapping[str, str]) -> None:
        kept = self.runner.kept.setdefault(given["path"], {})
        assert given["key"] not in kept, "a cache is written once"
        kept[given["key"]] = self.runner.fresh_folder(f"cache {given['key']}")
        for name in given["path"].split():
            path, copy = self.workspace / name, kept[given["key"]] / name
            if path.is_dir() and not path.is_symlink():
                shutil.copytree(path, copy, symlinks=True)

    def _upload(self, given: Mapping[str, str]) -> None:
        """Files below the deepest folder that all paths have in common; links are followed."""
        there = [path for name in given["path"].split() if (path := self.workspace / name).exists()]
        assert there or given.get("if-no-files-found") == "ignore", given
        if not there:
            return
        top = there[0] if len(there) == 1 and there[0].is_dir() else self.workspace
        artifact = self.runner.fresh_folder(f"artifact {given['name']}")
        for path in there:
            copy = artifact / path.relative_to(top)
            if path.is_dir():
                shutil.copytree(path, copy, dirs_exist_ok=True)
            else:
                shutil.copy(path, copy)
        self.runner.artifacts[given["name"]] = artifact

    def _download(self, given: Mapping[str, str]) -> None:
        assert given["merge-multiple"] == "true"
        prefix = given["pattern"].removesuffix("*")
        for name, artifact in self.runner.artifacts.items():
            if name.startswith(prefix):
                shutil.copytree(artifact, self.workspace / given["path"], dirs_exist_ok=True)
