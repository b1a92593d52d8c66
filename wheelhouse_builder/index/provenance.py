"""Where a wheel came from and how it was proved, as rows for a page: a label, and the markup of what it says."""

from __future__ import annotations

from functools import cache, lru_cache
from typing import TYPE_CHECKING

from wheelhouse_builder.artifact import parse_wheel_name
from wheelhouse_builder.index.summary import safe_url
from wheelhouse_builder.index.web_page import Frame, Markup, duration_text, hole, moment, row, size_text, tag, text
from wheelhouse_builder.redact import redact
from wheelhouse_builder.target import Arch

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from packaging.tags import Tag

    from wheelhouse_builder.index.coverage import Evidence, Kept

_PYTHONS = {"cp": "CPython", "py": "Python"}
_CHECKS = {"import": "Import", "loader": "Loader"}
_METHODS = {"native": "on a processor of its kind", "qemu": "under emulation", "static": "files read, nothing ran"}


def provenance(wheel: Kept, *, url: str, log: str | None = None) -> Iterator[Markup]:
    """The rows of one wheel; `url` is that of its file, `log` that of its build log, where one is kept."""
    yield _file().filled(
        file=wheel.filename,
        url=url,
        size=size_text(wheel.size),
        bytes=f" ({wheel.size:,} bytes)" if wheel.size >= 1000 else "",
        sha256=wheel.sha256,
        machines=_machines(parse_wheel_name(wheel.filename)[-1]),
    )
    if wheel.requires_python:
        yield row("Requires Python", tag("code", wheel.requires_python))
    yield row("Origin", _origin(wheel))
    if wheel.native_tools:
        yield row("Ran natively", f"{wheel.native_tools}; all else of the build under emulation")
    if wheel.source_sha256:
        yield row("Source sha256", digest(wheel.source_sha256))
    if wheel.build_key:
        yield row("Build key", digest(wheel.build_key))
    if log:
        yield row("Build log", tag("a", "Log of the build", href=log), " (gzip)")
    yield row("Verified", _verdicts(wheel.verdicts) if wheel.verdicts else "not verified")
    if wheel.notes:
        yield row("Notes", _list(map(text, wheel.notes)))
    if wheel.published_at:
        yield row("Published", moment(wheel.published_at))


@cache
def _file() -> Frame:
    """What every wheel tells."""
    return Frame(
        row("File", tag("a", hole("file"), href=hole("url"))),
        row("Size", hole("size"), hole("bytes")),
        row("sha256", digest(hole("sha256"))),
        row("Installs on", hole("machines")),
    )


def digest(value: str) -> Markup:
    """A digest, whole; one click selects it."""
    return tag("code", value, class_="digest")


@lru_cache(maxsize=1024)
def _machines(tags: frozenset[Tag]) -> str:
    """What the tags say, in words: `CPython 3.12 and newer (stable ABI); arm64 with musl 1.2 or newer`."""
    stable = any(tag.abi == "abi3" for tag in tags)
    pythons = sorted({_python(tag.interpreter) for tag in tags})
    platforms = sorted({_platform(tag.platform) for tag in tags})
    return f"{', '.join(pythons)}{' and newer (stable ABI)' if stable else ''}; {' and '.join(platforms)}"


def _python(interpreter: str) -> str:
    kind, version = interpreter[:2], interpreter[2:]
    number = f"{version[0]}.{version[1:]}" if len(version) > 1 else version
    return f"{_PYTHONS.get(kind, kind)} {number}"


def _platform(platform: str) -> str:
    if platform == "any":
        return "any machine"
    kind, _, rest = platform.partition("_")
    major, minor, arch = rest.split("_", 2) if rest.count("_") >= 2 else ("", "", platform)
    if kind != "musllinux" or arch not in set(Arch):
        return platform
    return f"{Arch(arch).docker} with musl {major}.{minor} or newer"


def _origin(wheel: Kept) -> Markup:
    if wheel.origin == "fetched":
        return text("fetched from ", _place(wheel.url)) if wheel.url else text("fetched")
    if wheel.origin == "built":
        engine = f" by the {wheel.engine} engine" if wheel.engine else " from source"
        target = text(" for ", tag("code", wheel.built_for)) if wheel.built_for else Markup()
        took = f" in {duration_text(wheel.seconds)}" if wheel.seconds is not None else ""
        return text(f"built{engine}", target, took)
    return text(wheel.origin)


def _place(url: str) -> Markup:
    """Where it was, without what is secret in a URL; a link only to what a browser may open."""
    shown = redact(url)
    if shown == url and (safe := safe_url(url)):
        return tag("a", safe.partition("://")[2], href=safe, rel="noopener nofollow")
    return text("a local file") if url.startswith("file:") else tag("code", shown)


def _verdicts(verdicts: Iterable[Evidence]) -> Markup:
    ordered = sorted(verdicts, key=lambda verdict: (verdict.check, verdict.target))
    return _list(map(_verdict, ordered))


@lru_cache(maxsize=1024)  # many wheels were checked in the same way
def _verdict(verdict: Evidence) -> Markup:
    passed = not verdict.problems
    said = text(
        tag("span", _CHECKS.get(verdict.check, verdict.check), class_=f"check {'imported' if passed else 'failed'}"),
        f" {'passed' if passed else 'failed'} for ",
        tag("code", verdict.target),
        f", {_METHODS.get(verdict.method, verdict.method)}: {verdict.environment}",
    )
    more = [*verdict.problems, *verdict.notes]
    return text(said, _list(map(text, more))) if more else said


def _list(entries: Iterable[Markup]) -> Markup:
    return tag("ul", *(tag("li", entry) for entry in entries))
