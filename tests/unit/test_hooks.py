"""The hooks of a build backend, as the cross engine calls them: what a backend may answer, and what is made of it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

from wheelhouse_builder.engines.cross.hooks import Hooks
from wheelhouse_builder.errors import Cancelled, JobError
from wheelhouse_builder.project.build_system import BuildSystem

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from wheelhouse_builder.engines.cross.environment import BuildEnvironment


@dataclass
class FakeEnvironment:
    """Answers a hook as `pyproject_hooks` expects it of the process that runs it."""

    answer: Callable[[str, dict[str, object]], dict[str, object]]
    asked: list[tuple[str, dict[str, object], dict[str, str]]] = field(default_factory=list)
    python_executable: str = "python"

    def runner(
        self, cmd: Sequence[str], cwd: str | None = None, extra_environ: Mapping[str, str] | None = None
    ) -> None:
        name, folder = cmd[2:]
        kwargs = json.loads(Path(folder, "input.json").read_text())["kwargs"]
        self.asked.append((name, kwargs, dict(extra_environ or {})))
        Path(folder, "output.json").write_text(json.dumps(self.answer(name, kwargs)))


def hooks(tmp_path: Path, environment: FakeEnvironment, **system: object) -> Hooks:
    fields = {"backend": "demo.build:hooks", "requires": (), **system}
    return Hooks(
        system=BuildSystem(**fields),  # type: ignore[arg-type]  # by name
        environment=cast("BuildEnvironment", environment),
        tree=tmp_path,
        log=tmp_path / "log",
    )


def test_a_wheel_is_made_by_the_backend_that_is_named(tmp_path: Path) -> None:
    def answer(name: str, kwargs: dict[str, object]) -> dict[str, object]:
        Path(str(kwargs["wheel_directory"]), "demo.whl").touch()
        return {"return_val": "/elsewhere/demo.whl"}

    environment = FakeEnvironment(answer)
    made = hooks(tmp_path, environment, backend_path=("tools",)).build_wheel(tmp_path / "out", {"a": ["1", "2"]})
    assert made == tmp_path / "out/demo.whl"
    ((name, kwargs, environ),) = environment.asked
    assert name == "build_wheel"
    assert kwargs["config_settings"] == {"a": ["1", "2"]}
    assert environ == {
        "_PYPROJECT_HOOKS_BUILD_BACKEND": "demo.build:hooks",
        "_PYPROJECT_HOOKS_BACKEND_PATH_JSON": json.dumps([str(tmp_path / "tools")]),
    }


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ({"return_val": "demo.whl"}, r"says that it made demo\.whl, and did not"),
        ({"return_val": ""}, "and did not"),
        ({"return_val": None}, "the build backend failed: TypeError"),
        ({}, "the build backend failed: KeyError"),
        ({"no_backend": True, "traceback": "No module named demo"}, r"backend 'demo\.build:hooks' is not available"),
        ({"hook_missing": True}, "the build backend failed: HookMissing: build_wheel"),
        ({"unsupported": True}, "the build backend failed: UnsupportedOperation"),
    ],
)
def test_what_is_no_wheel_is_one_error(tmp_path: Path, answer: dict[str, object], message: str) -> None:
    with pytest.raises(JobError, match=message):
        hooks(tmp_path, FakeEnvironment(lambda *_: answer)).build_wheel(tmp_path / "out", {})


@pytest.mark.parametrize("answer", [1, [["setuptools"]]])
def test_requirements_that_are_none(tmp_path: Path, answer: object) -> None:
    with pytest.raises(JobError, match="the build backend failed"):
        hooks(tmp_path, FakeEnvironment(lambda *_: {"return_val": answer})).get_requires_for_build_wheel({})


@pytest.mark.parametrize("error", [JobError("the build backend ended with exit code 1"), Cancelled("interrupted")])
def test_our_own_errors_pass(tmp_path: Path, error: JobError | Cancelled) -> None:
    def answer(*_: object) -> dict[str, object]:
        raise error

    with pytest.raises(type(error)) as caught:
        hooks(tmp_path, FakeEnvironment(answer)).get_requires_for_build_wheel({})
    assert caught.value is error
