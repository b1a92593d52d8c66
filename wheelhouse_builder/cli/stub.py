"""`whb stub`: an sdist that holds no source and resolves to the wheels of the wheelhouse."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from wheelhouse_builder.cli.options import add_settings
from wheelhouse_builder.errors import UsageError

if TYPE_CHECKING:
    import argparse

    from wheelhouse_builder.cli import Invocation
    from wheelhouse_builder.stub.sdist import StubSdist
    from wheelhouse_builder.wheelhouse.store import Wheelhouse


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare arguments."""
    parser.add_argument("pin", metavar="NAME==VERSION", help="the version; it has to have a wheel in the wheelhouse")
    parser.add_argument("-o", "--output", type=Path, metavar="DIR", help="write the stub there")
    parser.add_argument("--publish", action="store_true", help="put it into the wheelhouse and publish the index")
    parser.add_argument(
        "--url",
        metavar="URL|FOLDER",
        help="where clients find the wheels: http://wheelhouse:8080/, or a folder such as /wheelhouse "
        "(default, for -o alone: the wheelhouse as it lies here)",
    )
    add_settings(parser, ("wheelhouse",))


def execute(invocation: Invocation) -> int:
    """Make it, put it where it is wanted, and say where it is."""
    from wheelhouse_builder.cli.holding import holding, wheelhouse_of
    from wheelhouse_builder.wheelhouse.generations import publish
    from wheelhouse_builder.wheelhouse.stubs import admit_stub, stub_of
    from wheelhouse_builder.wheelhouse.yanking import parse_pin

    options, wheelhouse = invocation.options, wheelhouse_of(invocation)
    name, version = parse_pin(options.pin)
    place = _place(options, wheelhouse)
    if not options.publish:
        stub = stub_of(wheelhouse, name, version, place)
        _say(invocation, stub, _write(stub, options.output))
        return 0
    with holding(invocation) as wheelhouse:
        stub = stub_of(wheelhouse, name, version, place)
        path = None if options.output is None else _write(stub, options.output)
        admit_stub(wheelhouse, stub)
        changed = publish(wheelhouse, {}) is not None
        _say(invocation, stub, path, published=(wheelhouse, changed))
    return 0


def _place(options: argparse.Namespace, wheelhouse: Wheelhouse) -> str:
    from wheelhouse_builder.client_config.address import parse_url

    if options.url is not None:
        return str(options.url) if options.url.startswith("/") else f"{parse_url(options.url).url}simple/"
    if options.publish:
        raise UsageError(
            "--url is missing: a stub that is published keeps the place of its wheels for ever",
            hint="give the index as its clients reach it: --url http://wheelhouse:8080/, or the folder: /wheelhouse",
        )
    if options.output is None:
        raise UsageError(
            "nothing is to be done with the stub", hint="-o DIR writes it there; --publish puts it into the index"
        )
    return str(wheelhouse.root.resolve())


def _write(stub: StubSdist, folder: Path) -> Path:
    from wheelhouse_builder.files import write_atomically

    path = folder / stub.filename
    try:
        if path.exists() and path.read_bytes() != stub.content:
            raise UsageError(f"{path} is there with other content", hint="move it away: it may be the real sdist")
        write_atomically(path, stub.content)
    except (FileExistsError, IsADirectoryError, NotADirectoryError) as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}", hint="name another folder with -o") from error
    return path


def _say(
    invocation: Invocation, stub: StubSdist, path: Path | None, published: tuple[Wheelhouse, bool] | None = None
) -> None:
    import hashlib

    from wheelhouse_builder.cli.holding import say_current
    from wheelhouse_builder.report.as_json import dump, published_data
    from wheelhouse_builder.wheelhouse.generations import current

    if invocation.console.json:
        digest = hashlib.sha256(stub.content).hexdigest()
        document: dict[str, object] = {
            "filename": stub.filename,
            "sha256": digest,
            "path": None if path is None else str(path),
        }
        if published:
            document |= published_data(published[0], current(published[0]), changed=published[1])
        invocation.console.result(dump("stub", document))
        return
    if path is not None:
        invocation.console.result(str(path))
    if published:
        say_current(invocation, published[0], changed=published[1], news=f"{stub.filename} is published")
