"""`whb publish`: copy a generation to an object store or a folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wheelhouse_builder.cli.options import add_settings
from wheelhouse_builder.errors import UsageError

if TYPE_CHECKING:
    import argparse

    from wheelhouse_builder.cli import Invocation
    from wheelhouse_builder.remote.copying import Copied
    from wheelhouse_builder.wheelhouse.generations import Generation
    from wheelhouse_builder.wheelhouse.store import Wheelhouse


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare arguments."""
    from wheelhouse_builder.remote.items import DirectoryPages, Verify

    parser.add_argument("destination", metavar="DEST", help="s3://BUCKET/PREFIX, file:///FOLDER or a folder")
    parser.add_argument("--generation", type=int, metavar="N", help="the generation to copy (default: the current one)")
    parser.add_argument("--dry-run", action="store_true", help="look at what is there, say what would be copied")
    parser.add_argument(
        "--verify",
        choices=[*map(str, Verify)],
        default=str(Verify.QUICK),
        help="of what is there already: trust the manifest (quick, the default), list it (listing), "
        "read it all back (full)",
    )
    parser.add_argument(
        "--directory-pages",
        choices=[*map(str, DirectoryPages)],
        default=str(DirectoryPages.HTML),
        help="what a bucket answers for simple/NAME/ by itself (default: html; a folder has none)",
    )
    parser.add_argument("--concurrency", type=int, default=16, metavar="N", help="requests at once (default: 16)")
    add_settings(parser, ("wheelhouse",))


def execute(invocation: Invocation) -> int:
    """Copy, and say what was copied."""
    from wheelhouse_builder.cli.progress import progress
    from wheelhouse_builder.remote.copying import Copying, copy_generation
    from wheelhouse_builder.remote.destination import is_folder, open_store
    from wheelhouse_builder.remote.items import DirectoryPages, Verify
    from wheelhouse_builder.wheelhouse.store import Wheelhouse

    options, wheelhouse = invocation.options, Wheelhouse(invocation.settings.wheelhouse)
    if not 1 <= options.concurrency <= 256:
        raise UsageError(f"--concurrency is {options.concurrency}", hint="a number from 1 to 256")
    generation = _generation(wheelhouse, options.generation)
    pages = DirectoryPages.NONE if is_folder(options.destination) else DirectoryPages(options.directory_pages)
    store = open_store(options.destination, wheelhouse.root, workers=options.concurrency)
    with progress(invocation.console) as listener:
        copying = Copying(
            store=store,
            verify=Verify(options.verify),
            pages=pages,
            workers=options.concurrency,
            listener=listener,
            canceller=invocation.canceller,
        )
        copied = copy_generation(copying, generation, wheelhouse.root, dry_run=options.dry_run)
    _say(invocation, copied)
    return 0


def _generation(wheelhouse: Wheelhouse, number: int | None) -> Generation:
    """The one to copy. Readers hold no lock."""
    from wheelhouse_builder.wheelhouse.generations import all_generations, current

    if number is None:
        found = current(wheelhouse)
        if found is None:
            hint = "`whb build` or `whb index` publishes one; name a wheelhouse with --wheelhouse"
            raise UsageError(f"{wheelhouse.root} has no published generation", hint=hint)
        return found
    kept = {generation.number: generation for generation in all_generations(wheelhouse)}
    if number not in kept:
        hint = f"kept are {', '.join(map(str, kept))}" if kept else "`whb index` publishes one"
        raise UsageError(f"{wheelhouse.root} has no generation {number}", hint=hint)
    return kept[number]


def _say(invocation: Invocation, copied: Copied) -> None:
    from wheelhouse_builder.report.as_json import dump
    from wheelhouse_builder.report.table import file_size

    console, options = invocation.console, invocation.options
    if console.json:
        console.result(dump("copied", _data(copied, options.destination, dry_run=options.dry_run)))
        return
    where = f"{options.destination}: generation {copied.generation}"
    if not copied.changed:
        console.result(f"{where}, nothing new")
        return
    size = file_size(sum(item.size for item in copied.uploads))
    word = "would copy" if options.dry_run else "copied"
    removed = f", {len(copied.removed)} no longer in the index" if copied.removed else ""
    console.result(f"{where}, {word} {len(copied.uploads)} objects ({size}){removed}")
    if options.dry_run:
        for item in copied.uploads:
            console.say(f"  {item.key}")


def _data(copied: Copied, destination: str, *, dry_run: bool) -> dict[str, object]:
    return {
        "destination": destination,
        "generation": copied.generation,
        "changed": copied.changed,
        "dry_run": dry_run,
        "uploads": [item.key for item in copied.uploads],
        "bytes": sum(item.size for item in copied.uploads),
        "removed": list(copied.removed),
    }
