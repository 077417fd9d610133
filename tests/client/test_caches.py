"""A cache becomes what the server has, whatever is repeated, comes late or is missed between two lists; property tests."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from kcp.client import Cache, Change, Client, ClientConfiguration, ObjectKey
from kcp.client.objects import BOOKMARK, INITIAL_EVENTS_END, WatchEvent
from kcp.client.reflectors import Reflector
from kcp.logical_clusters import UNNAMED
from tests.client.resources import CONFIG_MAPS

State = dict[str, dict[str, Any]]


class History:
    """What happened on a server: an event for each resource version, and the objects after each."""

    def __init__(self, steps: list[tuple[str, str]]) -> None:
        self.events: list[WatchEvent] = []
        self.states: list[State] = [{}]
        for version, (name, color) in enumerate(steps, 1):
            state = dict(self.states[-1])
            meta = {"name": name, "namespace": "default", "resourceVersion": str(version), "labels": {"color": color}}
            old = state.get(name)
            object_ = {"metadata": {**meta, "uid": old["metadata"]["uid"] if old else f"uid-{version}"}}
            if color == "gone":
                state.pop(name, None)
                kind = "DELETED" if old else BOOKMARK
            else:
                state[name] = object_
                kind = "MODIFIED" if old else "ADDED"
            self.events.append(WatchEvent(kind, object_))
            self.states.append(state)


class Followed:
    """A cache with an index, what its handler made of the changes, and the reflector that feeds it."""

    def __init__(self) -> None:
        self.heard: dict[ObjectKey, str] = {}
        indexes = {"color": lambda object_: [object_["metadata"]["labels"]["color"]]}
        self.cache = Cache(UNNAMED, indexes, self._hear)
        resource = Client(ClientConfiguration(server="http://nowhere")).resource(CONFIG_MAPS)
        self.reflector = Reflector(resource, self.cache)

    def _hear(self, change: Change) -> None:
        assert (change.old is None) == (change.key not in self.heard)
        if change.old is not None:
            assert self.heard.pop(change.key) == change.old.resource_version
        if change.new is not None:
            self.heard[change.key] = change.new.resource_version

    def take(self, event: WatchEvent) -> None:
        self.reflector._take(event)

    def snapshot(self, state: State, version: int) -> None:
        """Read all objects again, as a stream."""
        self.reflector._version = ""
        self.cache.begin()
        for object_ in state.values():
            self.take(WatchEvent("ADDED", object_))
        end = {"resourceVersion": str(version), "annotations": {INITIAL_EVENTS_END: "true"}}
        self.take(WatchEvent(BOOKMARK, {"metadata": end}))

    def check(self, state: State) -> None:
        expected = {name: object_["metadata"]["resourceVersion"] for name, object_ in state.items()}
        assert {each.key.name: each.resource_version for each in self.cache} == expected
        assert {key.name: version for key, version in self.heard.items()} == expected
        for color in ("red", "blue", "gone"):
            found = {each.key.name for each in self.cache.by_index("color", color)}
            assert found == {name for name, each in state.items() if each["metadata"]["labels"]["color"] == color}


steps = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["red", "blue", "gone"])), min_size=1, max_size=25)


@given(steps, st.data())
def test_a_cache_becomes_what_the_server_has(made: list[tuple[str, str]], data: st.DataObject) -> None:
    history, followed = History(made), Followed()
    version = data.draw(st.integers(0, len(made)), "the first list")
    followed.snapshot(history.states[version], version)
    followed.check(history.states[version])
    while version < len(made):
        what = data.draw(st.sampled_from(["event", "event", "event", "repeat", "list"]))
        if what == "event":
            followed.take(history.events[version])
            version += 1
        elif what == "repeat" and version:
            followed.take(history.events[data.draw(st.integers(0, version - 1))])
        elif what == "list":
            version = data.draw(st.integers(version, len(made)))
            followed.snapshot(history.states[version], version)
        followed.check(history.states[version])
