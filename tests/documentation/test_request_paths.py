"""The lists of files that requests pass in docs/architecture.md are those that a real server enters, in that order."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import kcp
from tests.support.objects import DEFINITIONS, definition, widget
from tests.support.running_server import RunningServer
from tests.support.waiting import wait_until

PAGE = Path(__file__).parents[2] / "docs" / "architecture.md"
SOURCE = f"{Path(kcp.__file__).parent}/"
ROOMS = ("auth/", "registry/", "server/observability/", "server/requests/", "store/")
LAST = "server/observability/request_metrics.py"
WIDGETS = "/apis/example.com/v1/namespaces/default/widgets"
APPLY = "application/apply-patch+yaml"
SCHEMA = {"type": "object", "properties": {"spec": {"type": "object", "properties": {"size": {"type": "integer"}}}}}


def lists_of_the_page() -> dict[str, list[str]]:
    """The listed files by the request that passes them; a line of a list is a package and files of it."""
    lists: dict[str, list[str]] = {}
    request = ""
    (block,) = re.findall(r"^```text\n(every request.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    for line in block.splitlines():
        if line.startswith("  "):
            package, *files = line.split()
            lists[request] += [f"{package}/{file}" for file in files]
        elif line:
            request = line
            lists[request] = []
    return lists


PAGE_LISTS = lists_of_the_page()


class Trace:
    """The files of the source that the event loop of a server enters, each once."""

    def __init__(self, server: RunningServer) -> None:
        self._call = server.call
        self.files: dict[str, None] = {}

    def __enter__(self) -> dict[str, None]:
        self._call(sys.setprofile, self._enter)
        return self.files

    def __exit__(self, *_: object) -> None:
        self._call(sys.setprofile, None)

    def _enter(self, frame: FrameType, event: str, _: Any) -> None:
        path = frame.f_code.co_filename
        if event == "call" and path.startswith(SOURCE):
            self.files.setdefault(path.removeprefix(SOURCE))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with RunningServer(tmp_path_factory.mktemp("server")) as running:
        assert running.post(DEFINITIONS, definition("widgets", "Widget", schema=SCHEMA)).status == 201
        for name in ("a", "b", "c"):
            assert running.post(WIDGETS, widget(name)).status == 201
        yield running


def create(server: RunningServer, number: int) -> None:
    assert server.post(WIDGETS, widget(f"created-{number}")).status == 201


def create_definition(server: RunningServer, number: int) -> None:
    added = definition(f"gadget{number}s", f"Gadget{number}", schema=SCHEMA)
    assert server.post(DEFINITIONS, added).status == 201


def apply(server: RunningServer, number: int) -> None:
    path = f"{WIDGETS}/applied?fieldManager=test"
    assert server.ask("PATCH", path, widget("applied", number), Content_Type=APPLY).status in (200, 201)


def delete(server: RunningServer, number: int) -> None:
    assert server.ask("DELETE", f"{WIDGETS}/{'abc'[number]}").status == 200


def get(server: RunningServer, _: int) -> None:
    assert server.get(f"{WIDGETS}/c").status == 200


def list_all(server: RunningServer, _: int) -> None:
    assert server.get(WIDGETS).status == 200


def list_page(server: RunningServer, _: int) -> None:
    assert server.get(f"{WIDGETS}?limit=1").status == 200


REQUESTS: dict[str, Callable[[RunningServer, int], None]] = {
    "GET of an object": get,
    "LIST": list_all,
    "LIST of a page that is shared": list_page,
    "create": create,
    "apply to an object": apply,
    "delete": delete,
    "create of a definition": create_definition,
}


def listed(files: dict[str, None]) -> list[str]:
    """The files of the rooms without those that the page leaves out: of the store, all but its entrance are."""
    omitted = PAGE_LISTS["left out"]
    rooms = [file for file in files if file.startswith(ROOMS) and file not in omitted]
    return [file for file in rooms if not file.startswith("store/") or file == "store/sqlite/store.py"]


def assert_as_listed(files: dict[str, None], own: list[str], after: list[str]) -> None:
    """Other tasks deliver an event ``after`` the commit, while the response is sent: only the order of each is certain."""
    found = listed(files)
    first, last = PAGE_LISTS["every request, first"], PAGE_LISTS["every request, last"]
    assert [file for file in found if file not in after] == first + own + last
    assert [file for file in found if file in after] == after


@pytest.mark.parametrize("request_", REQUESTS)
def test_a_request_enters_the_listed_files_in_their_order(server: RunningServer, request_: str) -> None:
    send = REQUESTS[request_]
    for warm_up in (0, 1):
        send(server, warm_up)
    after = PAGE_LISTS.get(f"{request_}, after the commit", [])
    with Trace(server) as files:
        send(server, 2)
        wait_until(lambda: files.keys() >= {LAST, *after}, "the request is counted, and its event delivered")
    assert_as_listed(files, PAGE_LISTS[request_], after)


def test_a_watch_and_its_events_enter_the_listed_files_in_their_order(server: RunningServer) -> None:
    first, after = PAGE_LISTS["every request, first"], PAGE_LISTS["watch event, after the commit"]
    path = f"{WIDGETS}?watch=true"
    with server.watch(path) as warm_up:  # and stays open: its end would be traced too
        next(warm_up)
        create(server, 10)
        with Trace(server) as opened, server.watch(path) as events:
            next(events)
            with Trace(server) as delivered:
                create(server, 11)
                wait_until(lambda: delivered.keys() >= {LAST, *after}, "the create is counted, and its event delivered")
    assert listed(opened) == first + PAGE_LISTS["watch"]
    assert_as_listed(delivered, PAGE_LISTS["create"], after)


def test_a_create_passes_at_most_fifteen_files_of_its_own() -> None:
    assert len(PAGE_LISTS["create"]) <= 15
