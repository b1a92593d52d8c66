"""Plain-text tables and the JSON of a run."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.utils import canonicalize_name
from packaging.version import Version

from wheelhouse_builder.artifact import Sdist
from wheelhouse_builder.errors import ResolveError
from wheelhouse_builder.history.estimates import Estimate
from wheelhouse_builder.plan import Action, Decision, Job, Plan, with_estimates
from wheelhouse_builder.report import as_json
from wheelhouse_builder.report.model import Report, Row, Status
from wheelhouse_builder.report.table import (
    duration,
    file_size,
    plan_table,
    render,
    report_table,
    summary,
    verdict_table,
    verdict_word,
)
from wheelhouse_builder.strategy import Strategy
from wheelhouse_builder.target import Target
from wheelhouse_builder.verify.verdict import Check, Method, Verdict

ARM = Target.parse("cp312-musllinux_1_2_aarch64")
LOADER = Verdict(check=Check.LOADER, target=str(ARM), method=Method.STATIC, environment="musl 1.2.2, CPython 3.12")
IMPORT = Verdict(
    check=Check.IMPORT, target=str(ARM), method=Method.QEMU, environment="docker x", problems=("no module _cffi",)
)
ROWS = (
    Row(
        name=canonicalize_name("cffi"),
        version=Version("2.1.1"),
        target=ARM,
        action=Action.BUILD,
        reason="forced by no-binary",
        status=Status.READY,
        filename="cffi-2.1.1-cp312-cp312-musllinux_1_2_aarch64.whl",
        size=400_000,
        strategy=Strategy.CROSS,
        seconds=3.21,
        verdicts=(LOADER,),
    ),
    Row(
        name=canonicalize_name("lxml"),
        version=None,
        target=ARM,
        action=Action.BUILD,
        reason="no wheel fits",
        status=Status.FAILED,
        seconds=71.0,
        message="libxml2 is missing",
        hint="write a recipe",
        log=Path("/logs/lxml.log"),
        tail="fatal error",
        verdicts=(IMPORT,),
    ),
)
BEGAN = datetime(2026, 11, 29, 3, tzinfo=UTC)
REPORT = Report(rows=ROWS, wheelhouse=Path("/w"), generation=3, changed=True, seconds=75.04, started=BEGAN)


def test_the_table_of_a_run() -> None:
    assert (
        f"\n{report_table(REPORT)}\n"
        == """
package  version  target                       decision  strategy  result        time       size  verdicts
-------  -------  ---------------------------  --------  --------  ------  ----------  ---------  --------------------
cffi     2.1.1    cp312-musllinux_1_2_aarch64  build     cross     ready        3.2 s  390.6 KiB  loader ok
lxml              cp312-musllinux_1_2_aarch64  build               FAILED  1 min 11 s             import FAILED (qemu)
"""
    )


def test_the_table_of_a_plan() -> None:
    decision = Decision(
        name=canonicalize_name("six"), version=Version("1.17"), target=ARM, action=Action.FETCH, reason="it fits"
    )
    assert plan_table(Plan(decisions=(decision,))).splitlines()[-1] == (
        "six      1.17     cp312-musllinux_1_2_aarch64  fetch               it fits"
    )


def test_a_plan_tells_what_builds_are_likely_to_take() -> None:
    sdist = Sdist(name=canonicalize_name("x"), version=Version("1"), filename="x-1.tar.gz", url="file:///x", sha256="0")
    job = Job(source=sdist, target=ARM, request_keys=("k",))
    decision = Decision(
        name=sdist.name, version=sdist.version, target=ARM, action=Action.BUILD, reason="no wheel", job=job.id
    )
    plan = Plan(decisions=(decision,), jobs=(job,))
    known = with_estimates(plan, lambda job: Estimate(seconds=12, source="measured, 3 builds"))
    assert plan_table(plan).splitlines()[-1].endswith("build     unknown   no wheel")
    assert plan_table(known).splitlines()[-1].endswith("build     12 s (measured, 3 builds)  no wheel")


def test_the_table_of_verdicts_names_how_each_was_had() -> None:
    *_, loader, tried = verdict_table({"a.whl": [LOADER, IMPORT]}).splitlines()
    assert loader.split() == ["a.whl", str(ARM), "loader", "ok", "static", "musl", "1.2.2,", "CPython", "3.12"]
    assert tried.split() == ["a.whl", str(ARM), "import", "FAILED", "qemu", "docker", "x"]
    assert [verdict_word(LOADER), verdict_word(IMPORT)] == ["loader ok", "import FAILED (qemu)"]


def test_the_summary_counts_what_is_ready() -> None:
    assert summary(REPORT) == "1 of 2 ready (1 built) in 1 min 15 s"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, ""), (0.04, "0.0 s"), (9.94, "9.9 s"), (9.96, "10 s"), (59.6, "1 min 00 s"), (3661, "61 min 01 s")],
)
def test_durations(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [(None, ""), (0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (5 << 20, "5.0 MiB"), (2 << 40, "2048.0 GiB")],
)
def test_sizes(size: int | None, text: str) -> None:
    assert file_size(size) == text


cells = st.text(st.characters(categories=["L", "N", "P"]), max_size=9)


@given(st.lists(st.tuples(cells, cells), max_size=5))
def test_columns_are_aligned(rows: list[tuple[str, str]]) -> None:
    lines = render(("left", "right"), rows, right=("right",)).split("\n")
    assert len(lines) == len(rows) + 2
    width = max(map(len, lines))
    assert all(line == line.rstrip() for line in lines)
    for (left, right), line in zip(rows, lines[2:], strict=True):
        assert line.startswith(left)
        assert not right or (line.endswith(right) and len(line) == width)


def test_json_names_its_schema() -> None:
    document = json.loads(as_json.dump("report", as_json.report_data(REPORT)))
    assert document["schema"] == "whb.report/1"
    ready, failed = document["rows"]
    assert ready["verdicts"][0] == {
        "check": "loader",
        "target": str(ARM),
        "method": "static",
        "environment": "musl 1.2.2, CPython 3.12",
        "passed": True,
        "problems": [],
        "notes": [],
    }
    assert (failed["status"], failed["version"], failed["log"]) == ("failed", None, "/logs/lxml.log")
    assert (ready["seconds"], ready["message"]) == (3.21, None)


def test_errors_as_json() -> None:
    document = json.loads(as_json.dump("error", as_json.error_data(ResolveError("no cffi", hint="spell it"))))
    assert document["error"] == {"message": "no cffi", "hint": "spell it", "exit_code": 3}
