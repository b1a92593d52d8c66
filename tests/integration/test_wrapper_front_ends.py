"""`wheelhouse_builder.backend` under real front ends. What it wraps here tells of each of its calls."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tests.integration.frontends import FRONT_ENDS, FrontEnd, message_of, ok
from tests.integration.serve import whb_serve
from tests.integration.web import free_port, running
from tests.integration.wrapped_projects import PROJECTS, SPY_OF_REQUIRED_HOOKS, SPY_WITH_DYNAMIC_VERSION, Project

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

pytestmark = pytest.mark.integration

WHEEL = "tiny_spy-1.0-py3-none-any.whl"
SPY = PROJECTS["tiny-spy"]
INSTALLERS = tuple(name for name in FRONT_ENDS if name != "build")
ALL = pytest.mark.parametrize("name", FRONT_ENDS)


def told(spy: Path) -> list[list[str]]:
    """What the spy wrote: hooks with their arguments, and imports."""
    return [json.loads(line) for line in spy.read_text().splitlines()] if spy.exists() else []


def hooks(spy: Path) -> list[str]:
    """The hooks that were called, in order."""
    return [hook for hook, *_ in told(spy) if hook != "import"]


def snapshot(tree: Path) -> dict[str, tuple[int, str]]:
    """Each file of a tree with when it was changed and its digest."""
    return {
        str(path.relative_to(tree)): (path.stat().st_mtime_ns, hashlib.sha256(path.read_bytes()).hexdigest())
        for path in sorted(tree.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }


def answer(python: Path, site: Path) -> str:
    """What the installed module says, and where it lies; a .pth file is honoured."""
    script = f"import site; site.addsitedir({str(site)!r}); import tiny_spy as m; print(m.answer(), m.__file__)"
    return subprocess.run([python, "-c", script], capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture(scope="module")
def house(front_ends: Mapping[str, FrontEnd], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Wheelhouses, as `-C whb.store` made them, of each form of the spy; and its sdist. Not to be changed."""
    folder = tmp_path_factory.mktemp("house")
    forms: Mapping[str, Project] = {"static": SPY, "dynamic": SPY_WITH_DYNAMIC_VERSION, "bare": SPY_OF_REQUIRED_HOOKS}
    for name, form in forms.items():
        tree = form.write(folder / name, "tiny-spy")
        ok(front_ends["uv"].wheel(tree, folder / f"{name}-out", f"whb.store={folder / f'{name}-wheels'}"))
    ok(front_ends["uv"].sdist(folder / "static", folder / "sdist"))
    return folder


@ALL
def test_a_miss_is_built_as_if_there_were_no_wrapper(
    name: str, front_ends: Mapping[str, FrontEnd], tmp_path: Path
) -> None:
    """The same hooks with the same arguments, and the same wheel; whb's own settings are not passed on."""
    plain, wrapped = (SPY.write(tmp_path / str(each), "tiny-spy", wrapped=each) for each in (False, True))
    for case, config in {"none": (), "given": ("plain=1", "other=a b=c", "many=1", "many=2")}.items():
        spies = {tree: tmp_path / f"{case}-{tree.name}.spy" for tree in (plain, wrapped)}
        ok(front_ends[name].wheel(plain, tmp_path / f"{case}-plain", *config, SPY=str(spies[plain])))
        mine = ("whb.on-miss=build",) if config else ()
        ok(front_ends[name].wheel(wrapped, tmp_path / f"{case}-wrapped", *config, *mine, SPY=str(spies[wrapped])))
        assert told(spies[wrapped]) == told(spies[plain])
        assert "build_wheel" in hooks(spies[wrapped])
        assert (tmp_path / f"{case}-wrapped" / WHEEL).read_bytes() == (tmp_path / f"{case}-plain" / WHEEL).read_bytes()


@ALL
def test_of_whbs_own_settings_alone_nothing_reaches_the_wrapped_backend(
    name: str, front_ends: Mapping[str, FrontEnd], tmp_path: Path
) -> None:
    tree = SPY.write(tmp_path / "tree", "tiny-spy")
    ok(front_ends[name].wheel(tree, tmp_path / "out", "whb.on-miss=build", SPY=str(tmp_path / "spy")))
    assert "whb" not in (tmp_path / "spy").read_text()


@ALL
def test_a_hit_does_not_touch_the_wrapped_backend(
    name: str, front_ends: Mapping[str, FrontEnd], house: Path, tmp_path: Path
) -> None:
    tree = SPY.write(tmp_path / "tree", "tiny-spy")
    before = snapshot(tree)
    wheels = house / "static-wheels"
    ok(front_ends[name].wheel(tree, tmp_path / "out", SPY=str(tmp_path / "spy"), WHB_WHEELHOUSE=str(wheels)))
    assert not (tmp_path / "spy").exists()
    assert (tmp_path / "out" / WHEEL).read_bytes() == (wheels / WHEEL).read_bytes()
    assert snapshot(tree) == before


def test_another_setting_or_source_is_no_hit(front_ends: Mapping[str, FrontEnd], house: Path, tmp_path: Path) -> None:
    """A name and version alone never are one."""
    name = "uv"
    environ = {"WHB_WHEELHOUSE": str(house / "static-wheels"), "SPY": str(tmp_path / "spy")}
    tree = SPY.write(tmp_path / "tree", "tiny-spy")
    ok(front_ends[name].wheel(tree, tmp_path / "out", "plain=1", **environ))
    (tree / "tiny_spy.py").write_text("def answer(): return 43\n")
    ok(front_ends[name].wheel(tree, tmp_path / "other", **environ))
    assert hooks(tmp_path / "spy").count("build_wheel") == 2


@pytest.mark.parametrize("kind", ["whb serve", "static"])
def test_a_hit_through_an_index(kind: str, front_ends: Mapping[str, FrontEnd], house: Path, tmp_path: Path) -> None:
    """Served by whb, which negotiates the form of a page, and by a web server that knows files alone."""
    tree, wheels = SPY.write(tmp_path / "tree", "tiny-spy"), house / "static-wheels"
    with contextlib.ExitStack() as stack:
        if kind == "whb serve":
            url = stack.enter_context(whb_serve(wheels, tmp_path / "run")).url
        else:
            port = free_port()
            files = [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", "--directory", str(wheels), str(port)]
            stack.enter_context(running(files, port, tmp_path / "log"))
            url = f"http://127.0.0.1:{port}/"
        environ = {"SPY": str(tmp_path / "spy"), "WHB_WHEELHOUSE": f"{url}simple/", "WHB_ON_MISS": "fail"}
        ok(front_ends["pip-26"].wheel(tree, tmp_path / "out", **environ))
    assert not (tmp_path / "spy").exists()
    assert (tmp_path / "out" / WHEEL).read_bytes() == (wheels / WHEEL).read_bytes()


@ALL
def test_what_was_stored_is_hit(name: str, front_ends: Mapping[str, FrontEnd], tmp_path: Path) -> None:
    """`-C whb.store`, then the same source from there, with the same plain setting."""
    tree, spy, store = SPY.write(tmp_path / "tree", "tiny-spy"), tmp_path / "spy", tmp_path / "store"
    ok(front_ends[name].wheel(tree, tmp_path / "first", "plain=1", f"whb.store={store}", SPY=str(spy)))
    assert hooks(spy).count("build_wheel") == 1
    assert (store / WHEEL).is_file()
    assert (store / "simple/tiny-spy/index.v1_json").is_file()
    ok(front_ends[name].wheel(tree, tmp_path / "second", "plain=1", f"whb.wheelhouse={store}", SPY=str(spy)))
    assert hooks(spy).count("build_wheel") == 1
    assert (tmp_path / "second" / WHEEL).read_bytes() == (store / WHEEL).read_bytes()


@pytest.mark.parametrize("name", INSTALLERS)
@pytest.mark.parametrize("hit", [True, False], ids=["hit", "miss"])
def test_install(name: str, hit: bool, front_ends: Mapping[str, FrontEnd], house: Path, tmp_path: Path) -> None:
    tree, prefix = SPY.write(tmp_path / "tree", "tiny-spy"), tmp_path / "prefix"
    environ = {"SPY": str(tmp_path / "spy"), "WHB_ON_MISS": "fail" if hit else "build"}
    wheels = house / "static-wheels" if hit else tmp_path / "nothing"
    ok(front_ends[name].install(tree, prefix, f"whb.wheelhouse={wheels}", **environ))
    (site,) = prefix.glob("lib/python3.*/site-packages")
    assert answer(front_ends[name].python, site) == f"42 {site / 'tiny_spy.py'}"
    assert (tmp_path / "spy").exists() is not hit


@pytest.mark.parametrize("name", INSTALLERS)
def test_editable_is_the_wrapped_backends(
    name: str, front_ends: Mapping[str, FrontEnd], house: Path, tmp_path: Path
) -> None:
    """Also where a wheel is stored."""
    tree, prefix = SPY.write(tmp_path / "tree", "tiny-spy"), tmp_path / "prefix"
    environ = {"SPY": str(tmp_path / "spy"), "WHB_WHEELHOUSE": str(house / "static-wheels")}
    ok(front_ends[name].edit(tree, prefix, "plain=1", **environ))
    (site,) = prefix.glob("lib/python3.*/site-packages")
    assert answer(front_ends[name].python, site) == f"42 {tree / 'tiny_spy.py'}"
    assert ["build_editable", "{'plain': '1'}"] in told(tmp_path / "spy")


@pytest.mark.parametrize("name", ["pip-26", "uv"])
def test_editable_where_the_wrapped_backend_has_no_such_hook(
    name: str, front_ends: Mapping[str, FrontEnd], tmp_path: Path
) -> None:
    """The front end says of ours what it says of that one."""
    said = []
    for wrapped in (False, True):
        tree = SPY_OF_REQUIRED_HOOKS.write(tmp_path / str(wrapped), "tiny-spy", wrapped=wrapped)
        done = front_ends[name].edit(tree, tmp_path / "prefix")
        assert done.returncode != 0
        said.append(done.stdout + done.stderr)
    assert "build_editable" in said[1]
    assert ("Traceback" in said[1]) == ("Traceback" in said[0])


@ALL
def test_a_wrapped_backend_of_the_required_hooks_alone(
    name: str, front_ends: Mapping[str, FrontEnd], house: Path, tmp_path: Path
) -> None:
    tree, spy = SPY_OF_REQUIRED_HOOKS.write(tmp_path / "tree", "tiny-spy"), tmp_path / "spy"
    ok(front_ends[name].wheel(tree, tmp_path / "out", SPY=str(spy)))
    assert set(hooks(spy)) == {"get_requires_for_build_wheel", "build_wheel"}
    spy.unlink()
    ok(front_ends[name].wheel(tree, tmp_path / "hit", f"whb.wheelhouse={house / 'bare-wheels'}", SPY=str(spy)))
    assert "build_wheel" not in hooks(spy)


@ALL
@pytest.mark.parametrize("hit", [True, False], ids=["hit", "miss"])
def test_the_metadata_alone(
    name: str, hit: bool, front_ends: Mapping[str, FrontEnd], house: Path, tmp_path: Path
) -> None:
    """Without a version in pyproject.toml: uv does not ask the backend for what is there."""
    tree, spy = SPY_WITH_DYNAMIC_VERSION.write(tmp_path / "tree", "tiny-spy"), tmp_path / "spy"
    wheels = house / "dynamic-wheels" if hit else tmp_path / "nothing"
    said = ok(front_ends[name].metadata(tree, tmp_path / "into", WHB_WHEELHOUSE=str(wheels), SPY=str(spy)))
    assert re.search(r"tiny[-_]spy", said)
    assert "build_wheel" not in hooks(spy)
    assert ("prepare_metadata_for_build_wheel" in hooks(spy)) is not hit
    assert spy.exists() is not hit
    assert not list(tmp_path.glob("into/**/tiny_spy.py"))


@pytest.mark.parametrize("name", ["uv", "build"])
def test_an_sdist_is_the_wrapped_backends(
    name: str, front_ends: Mapping[str, FrontEnd], house: Path, tmp_path: Path
) -> None:
    tree = SPY.write(tmp_path / "tree", "tiny-spy")
    environ = {"SPY": str(tmp_path / "spy"), "WHB_WHEELHOUSE": str(house / "static-wheels")}
    ok(front_ends[name].sdist(tree, tmp_path / "out", "plain=1", **environ))
    assert (tmp_path / "out/tiny_spy-1.0.tar.gz").is_file()
    assert hooks(tmp_path / "spy") == ["build_sdist"]


@ALL
def test_an_sdist_hits_what_its_checkout_stored(
    name: str, front_ends: Mapping[str, FrontEnd], house: Path, tmp_path: Path
) -> None:
    environ = {"SPY": str(tmp_path / "spy"), "WHB_WHEELHOUSE": str(house / "static-wheels"), "WHB_ON_MISS": "fail"}
    ok(front_ends[name].wheel(house / "sdist/tiny_spy-1.0.tar.gz", tmp_path / "out", **environ))
    assert not (tmp_path / "spy").exists()
    assert (tmp_path / "out" / WHEEL).is_file()


@ALL
def test_two_builds_of_one_tree_at_once(
    name: str, front_ends: Mapping[str, FrontEnd], house: Path, tmp_path: Path
) -> None:
    """A hit and a miss, which differ in their settings; nothing of the tree is edited."""
    tree = SPY.write(tmp_path / "tree", "tiny-spy")
    before = snapshot(tree)

    def build(case: str) -> str:
        spy = str(tmp_path / f"{case}.spy")
        config = ("plain=1",) if case == "miss" else ()
        environ = {"SPY": spy, "WHB_WHEELHOUSE": str(house / "static-wheels")}
        return ok(front_ends[name].wheel(tree, tmp_path / case, *config, **environ))

    with ThreadPoolExecutor() as pool:
        list(pool.map(build, ("hit", "miss")))
    assert snapshot(tree) == before
    assert not (tmp_path / "hit.spy").exists()
    assert "build_wheel" in hooks(tmp_path / "miss.spy")
    assert (tmp_path / "hit" / WHEEL).is_file()
    assert (tmp_path / "miss" / WHEEL).is_file()


# ---- errors


def refused(done: subprocess.CompletedProcess[str], *texts: str) -> None:
    """It failed with one message that says all of these."""
    message = message_of(done)
    for text in texts:
        assert text in message, message


@ALL
def test_an_unknown_setting_is_refused(name: str, front_ends: Mapping[str, FrontEnd], tmp_path: Path) -> None:
    tree = SPY.write(tmp_path / "tree", "tiny-spy")
    done = front_ends[name].wheel(tree, tmp_path / "out", "whb.wheelhosue=x", SPY=str(tmp_path / "spy"))
    refused(done, "whb.wheelhosue", "wheelhouse")
    assert not (tmp_path / "spy").exists()


@ALL
def test_a_miss_that_may_not_be_built(name: str, front_ends: Mapping[str, FrontEnd], tmp_path: Path) -> None:
    tree = SPY.write(tmp_path / "tree", "tiny-spy")
    config = ("whb.on-miss=fail", f"whb.wheelhouse={tmp_path / 'nothing'}")
    done = front_ends[name].wheel(tree, tmp_path / "out", *config, SPY=str(tmp_path / "spy"))
    refused(done, "tiny-spy 1.0", "on-miss")
    assert not (tmp_path / "spy").exists()


@pytest.mark.parametrize("name", ["pip-22", "uv"])
def test_a_stored_wheel_of_other_content_is_not_taken(
    name: str, front_ends: Mapping[str, FrontEnd], house: Path, tmp_path: Path
) -> None:
    """It is built instead only where that was asked for."""
    tree = SPY.write(tmp_path / "tree", "tiny-spy")
    wheels = shutil.copytree(house / "static-wheels", tmp_path / "wheels", symlinks=True)
    (wheels / WHEEL).chmod(0o644)
    (wheels / WHEEL).write_bytes((wheels / WHEEL).read_bytes()[:-1] + b"x")
    environ = {"SPY": str(tmp_path / "spy"), "WHB_WHEELHOUSE": str(wheels)}
    refused(front_ends[name].wheel(tree, tmp_path / "out", **environ), WHEEL)
    assert not (tmp_path / "spy").exists()
    ok(front_ends[name].wheel(tree, tmp_path / "built", "whb.on-miss=build", **environ))
    assert "build_wheel" in hooks(tmp_path / "spy")


@pytest.mark.parametrize(
    ("backend", "texts"),
    [("wheelhouse_builder.backend", ("build-backend",)), ("not_there", ("not_there", "backend-path"))],
)
def test_a_wrapped_backend_that_cannot_be(
    backend: str, texts: tuple[str, ...], front_ends: Mapping[str, FrontEnd], tmp_path: Path
) -> None:
    tree = SPY.write(tmp_path / "tree", "tiny-spy", whb={"build-backend": backend})
    refused(front_ends["pip-26"].wheel(tree, tmp_path / "out"), *texts)


def test_a_wrapped_backend_that_is_not_named(front_ends: Mapping[str, FrontEnd], tmp_path: Path) -> None:
    tree = SPY.write(tmp_path / "tree", "tiny-spy")
    pyproject = tree / "pyproject.toml"
    pyproject.write_text(re.sub(r'(\[tool\.whb\]\n)build-backend = "spy"\n', r"\1", pyproject.read_text()))
    refused(front_ends["uv"].wheel(tree, tmp_path / "out"), "[tool.whb]", "build-backend")


def test_what_the_wrapped_backend_raises_stays_whole(front_ends: Mapping[str, FrontEnd], tmp_path: Path) -> None:
    tree = SPY.write(tmp_path / "tree", "tiny-spy")
    with (tree / "backend/spy.py").open("a") as file:
        file.write("\ndef build_wheel(*arguments):\n    print('before'); raise ValueError('mine')\n")
    done = front_ends["pip-26"].wheel(tree, tmp_path / "out")
    assert done.returncode != 0
    assert "ValueError: mine" in done.stdout + done.stderr
    assert "before" in done.stdout + done.stderr
