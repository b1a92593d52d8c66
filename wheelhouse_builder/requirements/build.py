"""Build requirements (PEP 518), as packages write them and their backends tell them."""

from __future__ import annotations

from packaging.requirements import InvalidRequirement, Requirement

from wheelhouse_builder.errors import JobError


def parse_build_requirement(text: str) -> Requirement:
    """A requirement (PEP 508). Raises `JobError` for what is none.

    A backend may say anything, and as a line of a requirements file it could be an option, such as another index.
    """
    try:
        return Requirement(text)
    except InvalidRequirement as error:
        raise JobError(
            f"{text!r}, which the build is said to need, is no valid requirement: {error}",
            hint="report it to the package's authors",
        ) from error
