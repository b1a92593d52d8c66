"""`whb check`: test any index for conformance."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from wheelhouse_builder.errors import UsageError

if TYPE_CHECKING:
    import argparse

    from wheelhouse_builder.cli import Invocation
    from wheelhouse_builder.conformance.judge import Judged
    from wheelhouse_builder.conformance.model import Observed
    from wheelhouse_builder.conformance.observe import Sample

_LEVELS = ("must", "should", "good")


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare arguments."""
    parser.add_argument("index", metavar="URL|DIR", help="the URL of the project list, or a folder that holds an index")
    parser.add_argument(
        "--project", action="append", default=[], metavar="NAME", help="look at this project, may be repeated"
    )
    parser.add_argument(
        "--projects", type=int, default=20, metavar="N", help="look at N projects, spread over the list (default: 20)"
    )
    parser.add_argument("--all", action="store_true", help="look at every project")
    parser.add_argument("--files", type=int, default=10, metavar="N", help="look into N files, whole (default: 10)")
    parser.add_argument(
        "--min-level",
        choices=_LEVELS,
        default="must",
        help="exit code 1 for a failure of this level or above (default: must)",
    )


def execute(invocation: Invocation) -> int:
    """Print what was found; 1 if something fails that counts."""
    from wheelhouse_builder.conformance.judge import failing, judge
    from wheelhouse_builder.conformance.model import Level
    from wheelhouse_builder.report.as_json import dump
    from wheelhouse_builder.report.conformance import conformance_data

    console = invocation.console
    observed = _observe(invocation, _sample(invocation.options))
    judged = judge(observed)
    if console.json:
        console.result(dump("conformance", conformance_data(observed, judged)))
    else:
        _show(invocation, observed, judged)
    return 1 if failing(judged, Level[invocation.options.min_level.upper()]) else 0


def _sample(options: argparse.Namespace) -> Sample:
    from wheelhouse_builder.conformance.observe import Sample

    if options.projects < 1 or options.files < 0:
        raise UsageError("--projects is at least 1, --files at least 0", hint="--all looks at every project")
    projects = None if options.all else options.projects
    return Sample(projects=projects, names=tuple(options.project), files=options.files)


def _observe(invocation: Invocation, sample: Sample) -> Observed:
    from wheelhouse_builder.conformance.folder import FolderSource
    from wheelhouse_builder.conformance.observe import observe

    index: str = invocation.options.index
    say = invocation.console.say if invocation.console.verbosity > 0 else lambda _: None
    if folder := _folder(index):
        return observe(FolderSource(folder), sample, say)
    from wheelhouse_builder.conformance.http import HttpSource, require_url  # httpx, which a folder does not need
    from wheelhouse_builder.sources.credentials import credentials_for

    require_url(index)
    credentials = credentials_for([index]).get(urlsplit(index).hostname or "")
    source = HttpSource(index, credentials=credentials, canceller=invocation.canceller)
    try:
        return observe(source, sample, say)
    finally:
        source.close()


def _folder(index: str) -> Path | None:
    """The folder that is meant, if it is one."""
    if index.startswith("file://"):
        return Path(unquote(urlsplit(index).path))
    if "://" in index:
        return None
    if not Path(index).is_dir():
        raise UsageError(f"there is no folder {index}", hint="a URL begins with https:// or http://")
    return Path(index)


def _show(invocation: Invocation, observed: Observed, judged: tuple[Judged, ...]) -> None:
    from wheelhouse_builder.report.conformance import conformance_table, failures_text

    console = invocation.console
    if console.verbosity >= 0:
        console.result(conformance_table(judged))
    if failures := failures_text(judged):
        console.result(f"\n{failures}" if console.verbosity >= 0 else failures)
    names = {page.name for page in observed.pages if page.name}
    seen = f"{len(names)} projects" + ("" if observed.complete else " of more (--all looks at every one)")
    console.say(f"\n{observed.base}: {seen}, {len(observed.files)} files fetched")
