"""Stubs through real installers: pip old and new, uv and build here, pip and uv in Alpine of both architectures."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.houses import add, add_stub, publish_all
from tests.integration.conftest import IMAGE, in_alpine
from tests.integration.docker import docker
from tests.integration.frontends import PIPS, ok
from tests.integration.serve import whb_serve
from tests.wheels import make_wheel
from wheelhouse_builder.engines.cross.interpreter import find_python
from wheelhouse_builder.wheelhouse.store import Wheelhouse, record_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.integration.conftest import Whb
    from tests.integration.frontends import FrontEnd
    from tests.integration.serve import Running

pytestmark = pytest.mark.integration

ARCHS = {"amd64": "x86_64", "arm64": "aarch64"}
CALL_BACK = "import cffi; f = cffi.FFI(); print(f.callback('int(int)', lambda x: x + 1)(41))"
HERE = f"cp{sys.version_info[0]}{sys.version_info[1]}"
UV = "uv==0.13.9"
INSTALLERS = (*PIPS, "uv")
NEWEST = (PIPS[-1], "uv")  # where what happens is theirs to decide, and the oldest pip decides as the newest


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Wheelhouse:
    """`pure` and what it needs run anywhere, `native` on musl alone; both have stubs that name the folder."""
    folder = tmp_path_factory.mktemp("house")
    house = Wheelhouse(folder / "wheelhouse")
    add(house, "needed")
    add(house, "pure", requires=("needed",))
    for arch in ARCHS.values():
        wheel = make_wheel(folder, name="native", tag=f"cp312-cp312-musllinux_1_2_{arch}")
        with house.lock():
            house.admit(wheel, record_of(wheel, origin="built"))
    for name in ("pure", "native"):
        add_stub(house, name, place=str(house.root))
    publish_all(house)
    return house


@pytest.fixture(scope="module")
def stubs(house: Wheelhouse, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for `--find-links` with the stubs and the wheel of `needed`: all else comes from where a stub says."""
    folder = tmp_path_factory.mktemp("stubs")
    for path in (*house.root.glob("*.tar.gz"), *house.root.glob("needed-*.whl")):
        shutil.copy(path, folder)
    return folder


@pytest.fixture
def call(front_ends: Mapping[str, FrontEnd], tmp_path: Path) -> Call:
    return Call(front_ends, tmp_path)


class Call:
    """A front end with nothing but what a test says: no cache, no index, no settings of the machine."""

    def __init__(self, front_ends: Mapping[str, FrontEnd], folder: Path) -> None:
        self.front_ends, self.folder = front_ends, folder

    def __call__(self, name: str, *arguments: str | Path, **environ: str) -> subprocess.CompletedProcess[str]:
        front = self.front_ends[name]
        env = {**front.environment(), "PIP_NO_INDEX": "", "PIP_FIND_LINKS": "", "PIP_NO_CACHE_DIR": "1"}
        env |= {"UV_NO_CACHE": "1", "UV_NO_CONFIG": "1", "HOME": str(self.folder), **environ}
        program = [front.kept.program("uv", "uv")] if name == "uv" else [front.python, "-m", name.partition("-")[0]]
        argv = [str(word) for word in (*program, *arguments)]
        return subprocess.run(argv, cwd=self.folder, env=env, capture_output=True, text=True, check=False)

    def install(self, name: str, *arguments: str | Path, **environ: str) -> subprocess.CompletedProcess[str]:
        """Install below `self.prefix`."""
        if name != "uv":
            return self(name, "install", "--prefix", self.prefix, *arguments, **environ)
        python = self.front_ends[name].python
        return self(name, "pip", "install", "--python", python, "--prefix", self.prefix, *arguments, **environ)

    @property
    def prefix(self) -> Path:
        return self.folder / "prefix"

    @property
    def installed(self) -> set[str]:
        """`pure-1.0`"""
        return {path.name.removesuffix(".dist-info") for path in self.prefix.rglob("*.dist-info")}


def refusal(done: subprocess.CompletedProcess[str]) -> str:
    """What a stub said with which an installation failed; none of our code is in a traceback."""
    said = done.stdout + done.stderr
    assert done.returncode != 0, said
    assert "Traceback" not in said
    assert 'stub_backend.py", line' not in said
    found = re.search(r"whb: error: .*(?:\n(?!.*hint: ).*)*\n.*hint: .*", said)
    assert found, said
    return "\n".join(line.strip(" │|") for line in found[0].splitlines())


# here: glibc


@pytest.mark.parametrize("name", INSTALLERS)
def test_a_stub_installs_the_wheel_and_what_it_needs(name: str, call: Call, stubs: Path) -> None:
    ok(call.install(name, "--no-index", "--find-links", stubs, "pure"))
    assert call.installed == {"pure-1.0", "needed-1.0"}
    assert [path.read_text() for path in call.prefix.rglob("pure.py")] == ["ANSWER = 42\n"]


@pytest.mark.parametrize("name", [PIPS[0], "uv", "build"])
def test_a_stub_is_built_as_any_source_tree(name: str, call: Call, stubs: Path, house: Wheelhouse) -> None:
    with tarfile.open(stubs / "pure-1.0.tar.gz") as archive:
        archive.extractall(call.folder, filter="data")
    tree, out = call.folder / "pure-1.0", call.folder / "out"
    arguments: dict[str, tuple[str | Path, ...]] = {
        "uv": ("build", "--wheel", "--no-index", "--out-dir", out, tree),
        "build": ("--wheel", "--outdir", out, tree),
    }
    ok(call(name, *arguments.get(name, ("wheel", "--no-index", "--no-deps", "--wheel-dir", out, tree))))
    (wheel,) = out.glob("*.whl")
    assert wheel.read_bytes() == (house.root / "pure-1.0-py3-none-any.whl").read_bytes()
    assert {path.name for path in tree.iterdir()} - {"__pycache__"} == {
        "PKG-INFO",
        "pyproject.toml",
        "stub.json",
        "stub_backend.py",
    }


@pytest.mark.parametrize("name", INSTALLERS)
def test_a_missing_wheel_is_told_with_each_that_there_is(name: str, call: Call, stubs: Path, house: Wheelhouse) -> None:
    first, *others, hint = refusal(call.install(name, "--no-index", "--find-links", stubs, "native")).splitlines()
    assert first == f"whb: error: {house.root} has no wheel of native 1.0 for {HERE}-x86_64 (not on musl)"
    reason = "for musl, and this Python does not run on it"
    assert others == [f"native-1.0-cp312-cp312-musllinux_1_2_{arch}.whl: {reason}" for arch in sorted(ARCHS.values())]
    assert hint == "hint: whb builds for musl (Alpine) alone; `--only-binary native` keeps pip and uv from the stub"
    assert call.installed == set()


@pytest.mark.parametrize(
    ("name", "place", "told"),
    [
        ("pip-22", "/nowhere", "there is no wheelhouse in /nowhere"),
        ("pip-26", "http://me:secret@127.0.0.1:9/simple/", "http://***@127.0.0.1:9/simple/ cannot be read: "),
        ("uv", "nowhere", "the wheelhouse 'nowhere' is neither an absolute path nor an http(s) URL"),
    ],
)
def test_the_environment_says_where_the_wheels_are(name: str, place: str, told: str, call: Call, stubs: Path) -> None:
    done = call.install(name, "--no-index", "--find-links", stubs, "pure", WHB_WHEELHOUSE=place)
    assert refusal(done).startswith(f"whb: error: {told}")
    assert "secret" not in done.stdout + done.stderr


def test_a_wheel_with_a_wrong_hash_is_not_installed(call: Call, stubs: Path, house: Wheelhouse) -> None:
    damaged = Path(shutil.copytree(house.root, call.folder / "damaged", symlinks=True))
    wheel = damaged / "pure-1.0-py3-none-any.whl"
    wheel.write_bytes(wheel.read_bytes()[:-1] + b"!")
    done = call.install("pip-25", "--no-index", "--find-links", stubs, "pure", WHB_WHEELHOUSE=str(damaged))
    assert refusal(done).startswith(f"whb: error: {wheel.name} is not what its page tells: ")
    assert call.installed == set()


@pytest.mark.parametrize("name", NEWEST)
def test_only_binary_hides_a_stub(name: str, call: Call, stubs: Path) -> None:
    done = call.install(name, "--no-index", "--find-links", stubs, "--only-binary", ":all:", "pure")
    assert done.returncode != 0
    assert "whb: " not in done.stdout + done.stderr


@pytest.mark.parametrize("name", NEWEST)
def test_what_a_stub_gave_is_kept_in_the_cache(name: str, call: Call, stubs: Path) -> None:
    """As of every sdist: documented, since a newer wheel is not seen until the cache is left out."""
    cache = str(call.folder / "cache")
    kept = {"PIP_NO_CACHE_DIR": "", "PIP_CACHE_DIR": cache, "UV_NO_CACHE": "false", "UV_CACHE_DIR": cache}
    for house in ("", "/nowhere"):
        ok(call.install(name, "--no-index", "--find-links", stubs, "pure", WHB_WHEELHOUSE=house, **kept))
        shutil.rmtree(call.prefix)
    done = call.install(name, "--no-index", "--find-links", stubs, "pure", WHB_WHEELHOUSE="/nowhere")
    assert "there is no wheelhouse in /nowhere" in refusal(done)


def test_uv_resolves_a_stub_without_running_it(call: Call, stubs: Path) -> None:
    """It would fail: there is no such wheelhouse. Metadata before 2.2 makes uv run the backend."""
    (call.folder / "in.txt").write_text("pure\n", encoding="utf-8")
    compiled = ("pip", "compile", "--no-index", "--find-links", stubs, "--generate-hashes", "in.txt")
    said = ok(call("uv", *compiled, WHB_WHEELHOUSE="/nowhere"))
    assert re.findall(r"^\S+==\S+", said, re.MULTILINE) == ["needed==1.0", "pure==1.0"]


def test_uv_locks_a_stub_without_running_it(call: Call, stubs: Path) -> None:
    project = '[project]\nname = "app"\nversion = "1"\nrequires-python = ">=3.11"\ndependencies = ["pure", "native"]\n'
    (call.folder / "pyproject.toml").write_text(project, encoding="utf-8")
    ok(call("uv", "lock", "--no-index", "--find-links", stubs, WHB_WHEELHOUSE="/nowhere"))
    lock = (call.folder / "uv.lock").read_text(encoding="utf-8")
    assert [name for name in ("needed", "pure", "native") if f'name = "{name}"' in lock] == ["needed", "pure", "native"]


def test_the_oldest_python(whb: Whb, call: Call, stubs: Path) -> None:
    found = (find_python((3, minor), whb.cache) for minor in (9, 10, 11))
    python = next(python for python in found if python)
    environment = call.folder / "environment"
    subprocess.run([python.path, "-m", "venv", environment], check=True)
    done = subprocess.run(
        [environment / "bin/python", "-m", "pip", "install", "--no-index", "--find-links", stubs, "pure"],
        env={**call.front_ends["uv"].environment(), "PIP_FIND_LINKS": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Successfully installed needed-1.0 pure-1.0" in ok(done)


# here: an index


@pytest.fixture(scope="module")
def ours(house: Wheelhouse, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """The wheelhouse over HTTP."""
    with whb_serve(house.root, tmp_path_factory.mktemp("ours")) as running:
        yield running


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Somebody else's index: the same version of `native`, as a wheel for any machine."""
    folder = tmp_path_factory.mktemp("other")
    house = Wheelhouse(folder / "wheelhouse")
    add(house, "native")
    publish_all(house)
    with whb_serve(house.root, folder / "server") as running:
        yield running


@pytest.mark.parametrize("name", NEWEST)
def test_a_wheel_that_fits_is_taken_before_the_stub(name: str, call: Call, ours: Running) -> None:
    done = call.install(name, "--index-url", f"{ours.url}simple/", "pure", WHB_WHEELHOUSE="/nowhere")
    ok(done)
    assert call.installed == {"pure-1.0", "needed-1.0"}


@pytest.mark.parametrize("name", NEWEST)
def test_a_stub_of_an_index_takes_the_wheel_from_there_once(
    name: str, call: Call, ours: Running, house: Wheelhouse, tmp_path: Path
) -> None:
    with whb_serve(house.root, tmp_path / "server") as running:
        index = f"{running.url}simple/"
        ok(call.install(name, "--index-url", index, "--no-binary", "pure", "pure", WHB_WHEELHOUSE=index))
        running.stop()
        asked = [line["path"] for line in running.logged]
    assert call.installed == {"pure-1.0", "needed-1.0"}
    assert asked.count("/pure-1.0-py3-none-any.whl") == 1
    assert asked.count("/pure-1.0.tar.gz") == 1


def test_with_one_index_the_stub_tells_what_is_missing(call: Call, ours: Running) -> None:
    done = call.install(PIPS[-1], "--index-url", f"{ours.url}simple/", "native")
    assert "has no wheel of native 1.0 for" in refusal(done)


def test_uv_does_not_go_on_to_the_next_index(call: Call, ours: Running, other: Running) -> None:
    """Its strategy is the first index that has the project; the stub says what is missing there."""
    indexes = ("--index", f"{ours.url}simple/", "--default-index", f"{other.url}simple/")
    assert "has no wheel of native 1.0 for" in refusal(call.install("uv", *indexes, "native"))


def test_pip_is_not_kept_from_an_extra_index(call: Call, ours: Running, other: Running) -> None:
    """It knows no order among indexes and prefers any wheel to a stub: documented, and no stub can help."""
    indexes = ("--index-url", f"{ours.url}simple/", "--extra-index-url", f"{other.url}simple/")
    ok(call.install(PIPS[-1], *indexes, "native"))
    assert call.installed == {"native-1.0"}


@pytest.mark.parametrize("name", NEWEST)
def test_a_stub_of_the_newest_version_fails_before_an_older_wheel_is_taken(name: str, call: Call) -> None:
    """Documented as the price of a stub."""
    house = Wheelhouse(call.folder / "wheelhouse")
    add(house, "native")
    newest = make_wheel(call.folder, name="native", version="2.0", tag="cp312-cp312-musllinux_1_2_aarch64")
    with house.lock():
        house.admit(newest, record_of(newest, origin="built"))
    publish_all(house)
    find = ("--no-index", "--find-links", house.root)
    ok(call.install(name, *find, "native"))
    assert call.installed == {"native-1.0"}
    shutil.rmtree(call.prefix)
    add_stub(house, "native", "2.0", place=str(house.root))
    assert "has no wheel of native 2.0 for" in refusal(call.install(name, *find, "native"))
    ok(call.install(name, *find, "native<2"))
    ok(call.install(name, *find, "--only-binary", "native", "native"))


# Alpine


@pytest.fixture(scope="module")
def cffi(whb: Whb, cffi_wheelhouse: Path) -> Iterator[Cffi]:
    """The stub of cffi, and its dependency, where containers can read them."""
    (wheel,) = (w for w in Wheelhouse(cffi_wheelhouse).wheels() if w.name == "cffi" and "x86_64" in w.filename)
    with tempfile.TemporaryDirectory(prefix="whb-stub-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        pin = f"cffi=={wheel.version}"
        whb.ok("stub", pin, "-w", str(cffi_wheelhouse), "--url", "/wheelhouse", "-o", str(folder), cwd=folder)
        for path in cffi_wheelhouse.glob("pycparser-*.whl"):
            shutil.copy(path, folder)
        yield Cffi(str(wheel.version), folder, cffi_wheelhouse)


class Cffi:
    def __init__(self, version: str, links: Path, wheelhouse: Path) -> None:
        self.version, self.pin = version, f"cffi=={version}"
        self.mounts = ((links, "/links"), (wheelhouse, "/wheelhouse"))


PIP = "python -m pip install --no-cache-dir --root-user-action ignore --no-index --find-links /links"


@pytest.mark.parametrize("arch", ARCHS)
def test_pip_on_alpine_gets_the_wheel_of_its_machine(arch: str, cffi: Cffi) -> None:
    script = f'{PIP} --verbose {cffi.pin} 2>&1\npython -c "{CALL_BACK}"'
    said = in_alpine("3.12", arch, script, *cffi.mounts)
    assert said.splitlines()[-1] == "42"
    assert re.search(rf"whb: cffi-\S+-cp312-cp312-musllinux_\S+_{ARCHS[arch]}\.whl of /wheelhouse", said)


def test_uv_on_alpine_gets_the_wheel_of_its_machine(cffi: Cffi, test_dir: Path) -> None:
    """It runs the same file by the same Python as pip: which architecture makes no difference."""
    folder = test_dir / "uv-amd64"
    if not list(folder.glob("uv-*.whl")):
        download = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", UV]
        subprocess.run([*download, "--dest", str(folder), "--platform", "musllinux_1_1_x86_64"], check=True)
    script = (
        "python -m pip install --quiet --no-index --root-user-action ignore /uv/uv-*.whl\n"
        f'uv pip install --system --no-index --find-links /links {cffi.pin}\npython -c "{CALL_BACK}"'
    )
    assert in_alpine("3.12", "amd64", script, *cffi.mounts, (folder, "/uv")).splitlines()[-1] == "42"


@pytest.mark.parametrize("arch", ARCHS)
def test_on_alpine_the_missing_target_is_named_with_the_command_that_makes_it(
    arch: str, cffi: Cffi, whb: Whb, tmp_path: Path
) -> None:
    first, *others, hint = refusal(_pip_on_alpine("3.13", arch, cffi)).splitlines()
    machine = ARCHS[arch]
    assert first == f"whb: error: /wheelhouse has no wheel of cffi {cffi.version} for cp313-musllinux_1_2_{machine}"
    reasons = {line.rpartition(": ")[2] for line in others if machine in line.partition(": ")[0]}
    assert reasons == {"for cp312-cp312, and this Python is cp313"}
    reasons = {line.rpartition(": ")[2] for line in others if machine not in line.partition(": ")[0]}
    (foreign,) = set(ARCHS.values()) - {machine}
    assert reasons == {f"for {foreign}, and this machine is {machine}"}
    command = hint.rpartition("run: ")[2]
    assert command == f"whb build -P {cffi.pin} --python 3.13 --arch {machine}"
    if arch == "amd64":  # that it does what it says is of no architecture
        whb.ok(*shlex.split(command)[1:], cwd=tmp_path)
        tmp_path.chmod(0o755)
        script = f'export WHB_WHEELHOUSE=/new\n{PIP} {cffi.pin}\npython -c "{CALL_BACK}"'
        said = in_alpine("3.13", arch, script, *cffi.mounts, (tmp_path / "wheelhouse", "/new"))
        assert said.splitlines()[-1] == "42"


def _pip_on_alpine(python: str, arch: str, cffi: Cffi) -> subprocess.CompletedProcess[str]:
    mounts = [word for host, inside in cffi.mounts for word in ("--volume", f"{host}:{inside}:ro")]
    run = ("run", "--rm", "--network", "none", "--platform", f"linux/{arch}", *mounts)
    return docker(*run, IMAGE.format(python=python, arch=arch), "sh", "-c", f"{PIP} {cffi.pin}", check=False)
