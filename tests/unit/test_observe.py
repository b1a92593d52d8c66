"""What is seen of a request, and what metrics, log and health make of it."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from tests.asgi import Answer, ask, call, get, scope_of
from tests.houses import add, house_with, publish_all
from wheelhouse_builder.server import access_log as access_log_module
from wheelhouse_builder.server.access_log import AccessLog, client_of, line_of
from wheelhouse_builder.server.app import make_app
from wheelhouse_builder.server.health import Readiness, health_routes
from wheelhouse_builder.server.metrics import Metrics
from wheelhouse_builder.server.observe import ClientGoneError, Observation, Observed
from wheelhouse_builder.server.snapshot import Snapshots
from wheelhouse_builder.wheelhouse.store import Wheelhouse

if TYPE_CHECKING:
    from pathlib import Path

    from starlette.types import Message, Receive, Scope, Send

PIP = 'pip/26.3 {"ci":null,"cpu":"x86_64","python":"3.12.1"}'
_LABELS = ("route", "format", "status", "le")
UV = 'uv/0.13.9 {"installer":{"name":"uv","version":"0.13.9"}}'


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers in two pieces."""
    scope["whb"].update(route="project", format="text/html")
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4")]})
    await send({"type": "http.response.body", "body": b"ab", "more_body": True})
    await send({"type": "http.response.body", "body": b"cd"})


def observed(scope: Scope, application: Any = app) -> tuple[Observation, Answer | None]:
    """One request, and what was seen of it."""
    seen: list[Observation] = []
    answer = asyncio.run(call(Observed(application, [seen.append]), scope))
    return seen[0], answer


def observation(*, headers: dict[str, str] | None = None, path: str = "/simple/", **facts: Any) -> Observation:
    scope = scope_of("GET", path, headers or {})
    values: dict[str, Any] = {"status": 200, "sent": 4, "seconds": 0.0012345, "complete": True}
    values |= {"notes": {"route": "project"}, "request_id": "r-1", "user_agent": b"", "started": 0.0}
    return Observation(scope=scope, **(values | facts))


# Observed


def test_what_is_seen() -> None:
    seen, answer = observed(scope_of("GET", "/simple/", {"User-Agent": PIP}))
    assert (seen.status, seen.sent, seen.complete, seen.aborted) == (200, 4, True, False)
    assert (seen.notes["route"], seen.user_agent) == ("project", PIP.encode())
    assert seen.seconds > 0
    assert answer is not None
    assert answer.headers["x-request-id"] == seen.request_id


@pytest.mark.parametrize(("given_id", "taken"), [("abc-1.2:3", True), ("", False), ("a b", False), ("a" * 129, False)])
def test_the_request_id_of_a_proxy(given_id: str, taken: bool) -> None:
    seen, _ = observed(scope_of("GET", "/", {"X-Request-ID": given_id}))
    assert (seen.request_id == given_id) == taken


def test_ids_differ() -> None:
    seen: list[Observation] = []
    observing = Observed(app, [seen.append])
    for _ in range(3):
        get(observing, "/")
    assert len({one.request_id for one in seen}) == 3


def test_a_client_that_went_away_stops_who_sends_to_it() -> None:
    sent: list[int] = []

    async def endless(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for number in range(10):
            if number == 3:
                scope["whb"]["gone"] = True  # as the protocol does
            await send({"type": "http.response.body", "body": b"x", "more_body": True})
            sent.append(number)

    async def ignore(message: Message) -> None:
        pass

    seen: list[Observation] = []
    asyncio.run(Observed(endless, [seen.append])(scope_of("GET", "/"), None, ignore))  # type: ignore[arg-type]  # unused
    assert sent == [0, 1, 2]
    assert (seen[0].aborted, seen[0].sent) == (True, 3)


def test_an_error_is_seen_and_goes_on() -> None:
    async def broken(scope: Scope, receive: Receive, send: Send) -> None:
        raise ZeroDivisionError

    seen: list[Observation] = []
    observing = Observed(broken, [seen.append])
    with pytest.raises(ZeroDivisionError):
        get(observing, "/")
    assert (seen[0].status, seen[0].aborted, observing.in_progress) == (0, True, 0)
    assert issubclass(ClientGoneError, OSError)


def test_more_than_the_limit_is_turned_away() -> None:
    async def run() -> list[int]:
        release = asyncio.Event()

        async def waits(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["path"] != "/healthz":
                await release.wait()
            await app(scope, receive, send)

        observing = Observed(waits, [], max_requests=2)
        running = [asyncio.create_task(call(observing, scope_of("GET", "/simple/"))) for _ in range(2)]
        await asyncio.sleep(0)
        refused = await call(observing, scope_of("GET", "/simple/"))
        alive = await call(observing, scope_of("GET", "/healthz"))
        assert refused.headers["retry-after"] == "1"
        release.set()
        done = await asyncio.gather(*running)
        return [refused.status, alive.status, *(answer.status for answer in done)]

    assert asyncio.run(run()) == [503, 200, 200, 200]


# The access log


def test_a_line() -> None:
    notes = {"route": "project", "format": "text/html", "encoding": "gzip", "user": "ci"}
    seen = observation(notes=notes, user_agent=PIP.encode(), headers={"Authorization": "Basic c2VjcmV0OnNlY3JldA=="})
    line = line_of(seen, 1_700_000_000.1239)
    assert line.endswith("}\n")
    assert json.loads(line) == {
        "time": "2023-11-14T22:13:20.123Z", "id": "r-1", "client": "127.0.0.1", "method": "GET", "path": "/simple/",
        "status": 200, "bytes": 4, "seconds": 0.001234, "route": "project", "format": "text/html", "encoding": "gzip",
        "user": "ci", "tool": "pip/26.3",
    }  # fmt: skip


def test_no_query_and_no_header_is_logged() -> None:
    seen = observation(path="/simple/?token=secret", headers={"Cookie": "secret", "Referer": "https://secret@x/"})
    assert "secret" not in line_of(seen, 0)


@pytest.mark.parametrize("client", [None, ("", "0")])
def test_the_peer_of_a_unix_socket(client: object) -> None:
    seen = observation()
    seen.scope["client"] = client
    assert json.loads(line_of(seen, 0))["client"] is None


def test_an_aborted_request() -> None:
    assert json.loads(line_of(observation(complete=False), 0))["aborted"] is True


@given(st.text(), st.binary(max_size=80))
def test_whatever_a_client_chooses_stays_in_one_line(path: str, agent: bytes) -> None:
    seen = observation(user_agent=agent)
    seen.scope["path"] = path
    line = line_of(seen, 0)
    assert line.isascii()
    assert line.count("\n") == 1
    assert json.loads(line)["path"] == path[:2048]


@pytest.mark.parametrize(
    ("agent", "tool"),
    [
        (PIP, "pip/26.3"),
        (UV, "uv/0.13.9"),
        ("twine/7.0.0 requests/2.0", "twine/7.0.0"),
        ("Prometheus/3.5.0", "prometheus/3.5.0"),
        ("Mozilla/5.0", None),
        ("", None),
        ("pip", None),
        ("pip/" + "1" * 100, "pip/" + "1" * 40),
    ],
)
def test_the_tool(agent: str, tool: str | None) -> None:
    assert client_of(agent.encode()) == tool


def test_lines_reach_the_file_in_order(tmp_path: Path) -> None:
    log = AccessLog(tmp_path / "log")
    for number in range(1000):
        log.observe(observation(request_id=str(number)))
    log.close()
    lines = (tmp_path / "log").read_text(encoding="ascii").splitlines()
    assert [json.loads(line)["id"] for line in lines] == list(map(str, range(1000)))


def test_lines_are_counted_that_cannot_be_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access_log_module, "_BACKLOG", 2)
    monkeypatch.setattr(access_log_module, "_FLUSH_SECONDS", 60)
    log = AccessLog(tmp_path / "log")
    for _ in range(5):
        log.observe(observation())
    log.close()
    lines = (tmp_path / "log").read_text(encoding="ascii").splitlines()
    assert [json.loads(line).get("dropped") for line in lines] == [None, None, 3]


def test_a_full_disk_does_not_end_the_log() -> None:
    log = AccessLog()
    log._stream = _FullDisk()  # type: ignore[assignment]  # what is used of one
    log.observe(observation())
    log.close()
    assert log._dropped == 1
    assert not [thread for thread in threading.enumerate() if thread.name == "access log"]


def test_a_log_that_cannot_be_reopened_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access_log_module, "_FLUSH_SECONDS", 60)
    folder = tmp_path / "logs"
    folder.mkdir()
    log = AccessLog(folder / "log")
    moved = folder.rename(tmp_path / "moved")
    log.reopen()
    log.observe(observation())
    log._flush()
    assert len((moved / "log").read_text().splitlines()) == 1
    folder.mkdir()
    log.observe(observation())
    log.close()
    assert len((folder / "log").read_text().splitlines()) == 1  # as soon as it can


class _FullDisk:
    def write(self, text: str) -> int:
        raise OSError(28, "No space left on device")


# Metrics and health


@pytest.fixture
def snapshots(tmp_path: Path) -> Snapshots:
    snapshots = Snapshots(house_with(tmp_path / "wheelhouse", "demo", "other"))
    snapshots.refresh()
    return snapshots


def samples(metrics: Metrics) -> dict[tuple[str, ...], float]:
    """Every sample by name and values of its labels."""
    text, content_type = metrics.text()
    assert content_type.startswith("text/plain; version=")
    families = text_string_to_metric_families(text.decode())
    return {
        (sample.name, *(sample.labels[label] for label in _LABELS if label in sample.labels)): sample.value
        for family in families
        for sample in family.samples
        if sample.labels.get("le") in {None, "0.0025", "+Inf"}
    }


def test_metrics(snapshots: Snapshots) -> None:
    metrics = Metrics(snapshots)
    metrics.gauges["whb_requests_in_progress", "Under way."] = lambda: 7
    for facts in ({}, {}, {"complete": False}, {"seconds": 1000.0, "notes": {"route": "file", "format": "wheel"}}):
        metrics.observe(observation(**facts))
    found = samples(metrics)
    assert found.pop(("whb_index_age_seconds",)) > 0
    sums = [found.pop(("whb_request_seconds_sum", route)) for route in ("file", "project")]
    assert sums == pytest.approx([1000, 3 * 0.0012345])
    assert found == {
        ("whb_requests_total", "project", "", "200"): 2,
        ("whb_requests_total", "project", "", "499"): 1,
        ("whb_requests_total", "file", "wheel", "200"): 1,
        ("whb_sent_bytes_total", "project"): 12,
        ("whb_sent_bytes_total", "file"): 4,
        ("whb_request_seconds_bucket", "project", "0.0025"): 3,
        ("whb_request_seconds_bucket", "project", "+Inf"): 3,
        ("whb_request_seconds_bucket", "file", "0.0025"): 0,
        ("whb_request_seconds_bucket", "file", "+Inf"): 1,
        ("whb_request_seconds_count", "project"): 3,
        ("whb_request_seconds_count", "file"): 1,
        ("whb_requests_in_progress",): 7,
        ("whb_index_stale",): 0,
        ("whb_generation",): 1,
        ("whb_projects",): 2,
    }


def test_metrics_of_the_open_format(snapshots: Snapshots) -> None:
    text, content_type = Metrics(snapshots).text("application/openmetrics-text; version=1.0.0")
    assert content_type.startswith("application/openmetrics-text")
    assert text.endswith(b"# EOF\n")


def test_metrics_before_anything_is_published(tmp_path: Path) -> None:
    found = samples(Metrics(Snapshots(Wheelhouse(tmp_path))))
    assert found == {("whb_index_stale",): 0}


def served(snapshots: Snapshots) -> tuple[Any, Readiness]:
    readiness = Readiness(snapshots.wheelhouse.root, snapshots)
    return make_app(snapshots, routes=health_routes(readiness, Metrics(snapshots))), readiness


def test_ready(snapshots: Snapshots) -> None:
    app, readiness = served(snapshots)
    answer = get(app, "/readyz")
    assert (answer.status, answer.json) == (200, {"status": "ready", "generation": 1, "projects": 2})
    assert answer.facts["route"] == "readyz"
    readiness.draining = True
    answer = get(app, "/readyz")
    assert (answer.status, answer.json["reason"]) == (503, "shutting down")
    assert get(app, "/healthz").status == 200


def test_not_ready_without_a_generation(tmp_path: Path) -> None:
    house = Wheelhouse(tmp_path / "wheelhouse")
    add(house)
    snapshots = Snapshots(house, on_problem=lambda text: None)
    app, _ = served(snapshots)
    assert get(app, "/readyz").json["reason"] == "still loading"
    snapshots.refresh()
    assert "has no generation" in (snapshots.problem or "")  # with the folder
    assert get(app, "/readyz").json["reason"] == "no generation could be loaded: the log says why"
    publish_all(house)
    snapshots.refresh()
    assert get(app, "/readyz").status == 200


def test_not_ready_without_the_wheels(snapshots: Snapshots) -> None:
    app, _ = served(snapshots)
    snapshots.wheelhouse.root.rename(snapshots.wheelhouse.root.with_name("gone"))
    assert get(app, "/readyz").json["reason"] == "the folder of the wheels cannot be read"
    assert get(app, "/healthz").status == 200


def test_not_ready_when_the_disk_hangs(snapshots: Snapshots, monkeypatch: pytest.MonkeyPatch) -> None:
    release, asked = threading.Event(), []

    def hang(*arguments: object) -> bool:
        asked.append(arguments)
        release.wait(30)
        return True

    monkeypatch.setattr("wheelhouse_builder.server.health.os.access", hang)
    monkeypatch.setattr("wheelhouse_builder.server.health._DISK_SECONDS", 0.01)
    app, _ = served(snapshots)

    async def probe() -> None:
        for _ in range(3):
            answer = await call(app, scope_of("GET", "/readyz"))
            assert answer.json["reason"] == "the disk of the wheelhouse does not answer"
        release.set()

    asyncio.run(probe())
    assert len(asked) == 1


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
def test_methods(snapshots: Snapshots, path: str) -> None:
    app, _ = served(snapshots)
    whole, head = get(app, path), ask(app, "HEAD", path)
    assert (head.status, head.body) == (200, b"")
    assert head.headers["content-type"] == whole.headers["content-type"]
    refused = ask(app, "PUT", path)
    assert (refused.status, refused.headers["allow"]) == (405, "GET, HEAD")
    assert whole.headers["cache-control"] == "no-store"
