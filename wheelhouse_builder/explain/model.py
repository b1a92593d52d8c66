"""What there is to say of one package on one target."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from wheelhouse_builder.report.changes import input_changes
from wheelhouse_builder.report.model import Status

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from wheelhouse_builder.history.model import Attempt, PastRow, RunRecord
    from wheelhouse_builder.wheelhouse.stored import StoredWheel


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """Why a package is as it is on a target. What is not known is None."""

    name: str
    version: str | None
    target: str | None  # None: of a wheel that nobody built here, or checked
    run: RunRecord | None = None  # the last that was asked for the package
    row: PastRow | None = None  # what it came to
    wheel: StoredWheel | None = None  # what the wheelhouse has
    made: Attempt | None = None  # what made the wheel
    failed: Attempt | None = None  # the last try, where there is none that came after it and to a wheel
    before: Attempt | None = None  # the good build before that of the wheel, or before the failure
    log: Path | None = None  # of the failure

    @property
    def title(self) -> str:
        """`cffi 2.1.1 for cp312-musllinux_1_2_aarch64`"""
        package = f"{self.name} {self.version}" if self.version else self.name
        return f"{package} for {self.target}" if self.target else package

    @property
    def status(self) -> str:
        """Of the last run; of what no run was asked for, whether the wheelhouse has it."""
        if self.row:
            return self.row.status
        return Status.READY if self.wheel else Status.FAILED

    @property
    def inputs(self) -> Mapping[str, str]:
        """What the build was made of: that which failed, or that of the wheel."""
        attempt = self.failed or self.made
        return {"strategy": str(attempt.strategy), **attempt.inputs} if attempt else {}

    @property
    def changed(self) -> tuple[str, ...]:
        """What these inputs have that those of the good build before had not."""
        if self.before is None or not self.inputs:
            return ()
        return input_changes({"strategy": str(self.before.strategy), **self.before.inputs}, self.inputs)
