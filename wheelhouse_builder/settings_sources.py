"""Where settings come from: a file, the environment, the command line; every problem of all of them told at once."""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name

from wheelhouse_builder.errors import UsageError
from wheelhouse_builder.settings import OPTIONS, PARTS, TABLES, CrossSettings, Settings, VerifySettings
from wheelhouse_builder.settings.backend import BackendSettings
from wheelhouse_builder.settings.container import ContainerSettings
from wheelhouse_builder.settings.kinds import Option, did_you_mean, parse_path
from wheelhouse_builder.settings.refresh import RefreshSettings
from wheelhouse_builder.settings.serve import ServeSettings
from wheelhouse_builder.target import Target

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_PROJECT_KEYS = ("build-backend", "backend-path", "key-exclude")  # what only [tool.whb] says: `project.build_system`
_Values = dict[str, tuple[Any, str]]  # name of the option → value, origin


def load_settings(
    command_line: Mapping[str, object] | None = None,
    *,
    config_settings: Mapping[str, object] | None = None,
    environ: Mapping[str, str] | None = None,
    folder: Path | None = None,
    config_file: Path | None = None,
) -> Settings:
    """Settings from all sources.

    `command_line` maps names of options to what argparse left: a string, a list of strings, a truth value or None (not
    given). `config_settings` maps such names to what a front end left of `-C whb.NAME=VALUE`: a text, or a list of them
    for a repeated one. `config_file` is read instead of `whb.toml` or `pyproject.toml` in `folder` (default: the
    current one).
    Requirements and packages of one source hide those of a lower one: `-P cffi` builds cffi and nothing else.
    Raises `UsageError`, with every problem of every source in one message.
    """
    reader = _Reader()
    if file := config_file or _find_file(folder or Path()):
        reader.read_file(file)
    reader.read_environment(os.environ if environ is None else environ)
    reader.read_command_line(command_line or {})
    reader.read_config_settings(config_settings or {})
    return reader.settings()


def _find_file(folder: Path) -> Path | None:
    own, project = folder / "whb.toml", folder / "pyproject.toml"
    if own.exists():
        return own
    return project if project.exists() else None


@dataclass(kw_only=True)
class _Reader:
    """What the sources said so far; they are read in rising order."""

    file: Path | None = None
    problems: list[str] = field(default_factory=list)
    values: _Values = field(default_factory=dict)
    trees: dict[str, Path] = field(default_factory=dict)
    packages: dict[str, Mapping[str, object]] = field(default_factory=dict)
    constraints: dict[str, tuple[str, str]] = field(default_factory=dict)  # name → specifier, origin

    def settings(self) -> Settings:
        """All of it as one object. Raises `UsageError`."""
        names = [set(self.values[name][0]) for name in ("no-binary", "only-binary") if name in self.values]
        if len(names) == 2 and (both := names[0] & names[1]):
            self.problems.append(f"no-binary and only-binary both name {', '.join(sorted(both))}")
        if self.problems:
            count = "" if len(self.problems) == 1 else f"{len(self.problems)} problems in the settings:\n"
            raise UsageError(count + "\n".join(self.problems))
        found: dict[str, dict[str, Any]] = {part: {} for part in PARTS}
        for name, (value, _) in self.values.items():
            found[OPTIONS[name].part][OPTIONS[name].field] = value
        if isinstance(found[""].get("wheelhouse"), str):  # an index is to be read from; what is built goes to a folder
            found["backend"]["index"] = found[""].pop("wheelhouse")
        return Settings(
            **found[""],
            backend=BackendSettings(**found["backend"]),
            verify=VerifySettings(**found["verify"]),
            serve=ServeSettings(**found["serve"]),
            container=ContainerSettings(**found["container"]),
            refresh=RefreshSettings(**found["refresh"]),
            cross=CrossSettings(target_trees=self.trees),
            package_constraints={name: value for name, (value, _) in self.constraints.items()},
            package_tables=self.packages,
            file=self.file,
            origins={name: origin for name, (_, origin) in self.values.items()}
            | {f"constraints.{name}": origin for name, (_, origin) in self.constraints.items()},
        )

    def read_file(self, file: Path) -> None:
        """Take in a settings file."""
        self.file = file.absolute()
        content = _parse(file)
        values: _Values = {}
        for table in TABLES:
            self._read_table(file, table, self._subtable(file, content, table), values)
        self._add(values)
        cross = self._subtable(file, content, "cross")
        self.problems += [
            _unknown(file, f"cross.{key}", ["cross.target-trees"]) for key in cross if key != "target-trees"
        ]
        self._read_trees(file, self._subtable(file, cross, "target-trees", above="cross."))
        self._read_packages(file, self._subtable(file, content, "packages"))

    def read_environment(self, environ: Mapping[str, str]) -> None:
        """Take in the `WHB_*` variables. An empty one is as good as none."""
        values: _Values = {}
        for option in OPTIONS.values():
            if text := environ.get(option.variable, "").strip():
                items = text.split(option.kind.separator) if option.kind.many else [text]
                self._store(option, [item.strip() for item in items if item.strip()], option.variable, values)
        self._add(values)

    def read_command_line(self, given: Mapping[str, object]) -> None:
        """Take in what argparse left."""
        values: _Values = {}
        for name, value in given.items():
            option = OPTIONS[name]
            if value is None or value == []:
                continue
            items = [str(item) for item in value] if isinstance(value, list) else [str(value)]
            if option.kind.many and option.kind.separator == ",":
                items = [part.strip() for item in items for part in item.split(",")]
            self._store(option, items, option.flag, values)
        self._add(values)

    def read_config_settings(self, given: Mapping[str, object]) -> None:
        """Take in what a front end gave as `whb.NAME`."""
        values: _Values = {}
        for name, value in given.items():
            place = f"-C whb.{name}"
            items = [str(item) for item in value] if isinstance(value, list | tuple) else [str(value)]
            option = OPTIONS.get(name)
            if name in _PROJECT_KEYS:
                self.problems.append(_of_the_project(place, name))
            elif option is None:
                known = [each for each, option in OPTIONS.items() if option.table != "serve"]
                self.problems.append(_unknown(place, name, known))
            elif not items:
                self.problems.append(f"{place} is given without a value")
            elif not option.kind.many and len(set(items)) > 1:
                self.problems.append(f"{place} is given more than once: {', '.join(items)}")
            else:
                if option.kind.many and option.kind.separator == ",":
                    items = [part.strip() for item in items for part in item.split(",")]
                self._store(option, items if option.kind.many else items[:1], place, values)
        self._add(values)

    def _add(self, values: _Values) -> None:
        if "requirements" in values or "packages" in values:
            self.values.pop("requirements", None)
            self.values.pop("packages", None)
        self.values |= values

    def _subtable(self, file: Path, content: Mapping[str, object], name: str, above: str = "") -> Mapping[str, object]:
        value = content.get(name, {}) if name else content
        if isinstance(value, dict):
            return value
        self.problems.append(f"{file}: {above}{name} must be a table")
        return {}

    def _read_table(self, file: Path, table: str, content: Mapping[str, object], values: _Values) -> None:
        known = {option.key: option for option in OPTIONS.values() if option.table == table and option.in_file}
        tables = set() if table else {*TABLES, "cross", "packages"}
        for key, value in content.items():
            if key in tables:
                continue
            if key == "constraints" and not table and isinstance(value, dict):
                self._read_constraints(file, value)
                continue
            if key in _PROJECT_KEYS and not table:
                if file.name != "pyproject.toml":
                    self.problems.append(_of_the_project(file, key))
            elif (option := known.get(key)) is None:
                self.problems.append(_unknown(file, f"{table}.{key}" if table else key, [*OPTIONS, "cross"]))
            elif _has_type(option, value):
                self._store(option, _items(value), str(file), values, folder=file.parent)
            else:
                self.problems.append(f"{file}: {option.name} must be {option.kind.what}, not {value!r}")

    def _store(
        self, option: Option, items: list[str], origin: str, values: _Values, *, folder: Path | None = None
    ) -> None:
        """Parse the items of one option; a problem names the source and the option."""
        place = origin if folder is None else f"{origin}: {option.name}"
        parsed: list[object] = []
        for item in items:
            try:
                value = option.kind.parse(item)
            except UsageError as error:
                self.problems.append(f"{place}: {error.message}" + (f" ({error.hint})" if error.hint else ""))
                continue
            parsed.append((folder or Path()).joinpath(value).absolute() if isinstance(value, Path) else value)
        if option.kind.needed and not items:
            self.problems.append(f"{place} names nothing")
        if len(parsed) != len(items):
            return
        if option.kind.by_key:
            pairs: dict[object, object] = dict(cast("list[tuple[object, object]]", parsed))
            if len(pairs) < len(parsed):
                self.problems.append(f"{place}: one architecture is there twice")
            values[option.name] = (pairs, origin)
        else:
            values[option.name] = (_without_repeats(parsed) if option.kind.many else parsed[0], origin)

    def _read_trees(self, file: Path, content: Mapping[str, object]) -> None:
        for name, value in content.items():
            try:
                Target.parse(name)
            except UsageError as error:
                self.problems.append(f"{file}: cross.target-trees: {error.message} ({error.hint})")
                continue
            if isinstance(value, str) and value:
                self.trees[name] = file.parent.joinpath(parse_path(value)).absolute()
            else:
                self.problems.append(f"{file}: cross.target-trees.{name} must be a path, not {value!r}")

    def _read_constraints(self, file: Path, content: Mapping[str, object]) -> None:
        """`[constraints]`: NAME = "<2". Where `constraints` is a list, it names files."""
        for name, value in content.items():
            place = f"{file}: constraints.{name}"
            try:
                normal = canonicalize_name(name, validate=True)
                if not isinstance(value, str):
                    self.problems.append(f"{place} must be a string such as '<2', not {value!r}")
                    continue
                specifiers = str(SpecifierSet(value))
            except InvalidSpecifier:
                self.problems.append(f"{place}: {value!r} is no version specifier (write it as <2, ==1.17.* or >=1,<3)")
            except ValueError:
                self.problems.append(f"{place}: {name!r} is not a package name")
            else:
                if normal in self.constraints:
                    self.problems.append(f"{place}: {normal} is there twice")
                self.constraints[normal] = (specifiers, str(file))

    def _read_packages(self, file: Path, content: Mapping[str, object]) -> None:
        """`[packages.NAME]` tables under normalised names."""
        for name, value in content.items():
            normal = canonicalize_name(name)
            if not isinstance(value, dict):
                self.problems.append(f"{file}: packages.{name} must be a table")
            elif normal in self.packages:
                self.problems.append(f"{file}: packages.{name}: {normal} is there twice")
            else:
                self.packages[normal] = value
                self._check_recipe(value, f"{file}: packages.{name}")

    def _check_recipe(self, table: Mapping[str, object], place: str) -> None:
        from wheelhouse_builder.recipes.store import problems_of  # noqa: PLC0415 - few settings have such tables

        for error in problems_of(table, place):
            self.problems.append(error.message + (f" ({error.hint})" if error.hint else ""))


def _parse(file: Path) -> Mapping[str, object]:
    try:
        content: object = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror}", hint="--config-file names the settings file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{file}: {error}") from None
    for key in ("tool", "whb") if file.name == "pyproject.toml" else ():
        content = content.get(key, {}) if isinstance(content, dict) else content
    if not isinstance(content, dict):
        raise UsageError(f"{file}: tool.whb must be a table")
    return content


def _has_type(option: Option, value: object) -> bool:
    """Whether a value of the file is of the option's TOML type. `type`, since True is an int to isinstance."""
    if not option.kind.many:
        return type(value) is option.kind.toml
    if option.kind.by_key:
        return isinstance(value, dict) and all(type(item) is option.kind.toml for item in value.values())
    return all(type(item) is option.kind.toml for item in (value if isinstance(value, list) else [value]))


def _items(value: object) -> list[str]:
    """What stands in the file, one by one, as the other sources have it."""
    if isinstance(value, dict):
        return [f"{key}={item}" for key, item in value.items()]
    return [str(item) for item in value] if isinstance(value, list) else [str(value)]


def _without_repeats(items: list[object]) -> tuple[object, ...]:
    """In order of first mention. `:none:` takes back what was said before it, as pip has it."""
    if ":none:" in items:
        items = items[len(items) - items[::-1].index(":none:") :]
    return tuple(dict.fromkeys(items))


def _unknown(place: Path | str, name: str, known: Iterable[str]) -> str:
    known, (table, _, key) = list(known), name.rpartition(".")
    beside = [other for other in known if other.rpartition(".")[0] == table]
    elsewhere = [other for other in known if other.rpartition(".")[2] == key]
    suggestion = did_you_mean(name, beside, near=0.8) or did_you_mean(name, elsewhere or known)
    return f"{place}: unknown setting {name!r}" + (f" ({suggestion})" if suggestion else "")


def _of_the_project(place: Path | str, key: str) -> str:
    return f"{place}: {key} is a fact of the project, set in [tool.whb] of its pyproject.toml alone"
