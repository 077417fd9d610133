"""A registry over a real SQLite log in a temporary directory, and a client that calls its verbs."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml

from kcp.api import json_values, selectors
from kcp.api.errors import StatusError
from kcp.auth.users import User
from kcp.controllers.manager import Manager
from kcp.logical_clusters import DEFAULT, LogicalClusterName
from kcp.registry.contexts import RequestContext
from kcp.registry.representations.whole_objects import WHOLE_OBJECTS
from kcp.registry.requests import DeleteOptions, ListOptions, Target
from kcp.registry.types.resource_types import ResourceType
from kcp.registry.verbs import patching
from kcp.registry.verbs.registry import Registry
from kcp.server.process.registry_composition import compose_registry
from kcp.store.sqlite.store import open_store
from tests.support.lists import whole_list
from tests.support.running_coroutines import Enter
from tests.support.waiting import PATIENCE, eventually

Object = dict[str, Any]
ADMIN = User("admin", groups=("system:masters",))

WIDGETS = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {plural: widgets, singular: widget, kind: Widget, listKind: WidgetList}
  versions:
  - name: v1
    served: true
    storage: true
    subresources: {status: {}, scale: {specReplicasPath: .spec.size, statusReplicasPath: .status.size}}
    selectableFields: [{jsonPath: .spec.color}]
    schema: &schema
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            required: [size]
            properties:
              size: {type: integer, minimum: 0}
              color: {type: string, default: red}
          status:
            type: object
            properties: {size: {type: integer}, phase: {type: string}}
  - name: v2
    served: true
    storage: false
    subresources: {status: {}}
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            properties:
              size: {type: integer}
              color: {type: string}
              shape: {type: string, default: round}
          status: {type: object, x-kubernetes-preserve-unknown-fields: true}
"""


def _decoded(value: bytes) -> Object:
    obj: Object = orjson.loads(value)
    return obj


class RegistryClient:
    """The registry as one administrator of one logical cluster sees it."""

    def __init__(self, registry: Registry, cluster: LogicalClusterName = DEFAULT) -> None:
        self.registry = registry
        self.cluster = cluster

    def at(self, cluster: str) -> RegistryClient:
        """The same registry in another logical cluster."""
        return RegistryClient(self.registry, LogicalClusterName(cluster))

    def context(self, **more: Any) -> RequestContext:
        return RequestContext(ADMIN, self.cluster, field_manager=more.pop("field_manager", "tests"), **more)

    def type(self, plural: str, group: str = "", version: str = "v1") -> ResourceType:
        found = self.registry.find_type(self.cluster, group, version, plural)
        assert found is not None, f"{plural}.{version}.{group} is not served in {self.cluster}"
        return found

    @property
    def widgets(self) -> ResourceType:
        return self.type("widgets", "example.com")

    @property
    def config_maps(self) -> ResourceType:
        return self.type("configmaps")

    @property
    def definitions(self) -> ResourceType:
        return self.type("customresourcedefinitions", "apiextensions.k8s.io")

    async def define(self, manifest: str | Object = WIDGETS) -> Object:
        """Create a CustomResourceDefinition."""
        body = yaml.load(manifest, Loader=yaml.CSafeLoader) if isinstance(manifest, str) else manifest
        return await self.create(self.definitions, body, "")

    async def create(self, type_: ResourceType, obj: Object, namespace: str = "default", **more: Any) -> Object:
        written = await self.registry.create(
            self.context(**more), Target(type_, namespace if type_.namespaced else ""), obj
        )
        return _decoded(written.value)

    async def get(self, type_: ResourceType, name: str, namespace: str = "default", subresource: str = "") -> Object:
        target = Target(type_, namespace if type_.namespaced else "", name, subresource)
        return _decoded(await self.registry.get(self.context(), target))

    async def update(self, type_: ResourceType, obj: Object, subresource: str = "", **more: Any) -> Object:
        meta = obj["metadata"]
        target = Target(type_, meta.get("namespace", ""), meta["name"], subresource)
        written = await self.registry.update(self.context(**more), target, orjson.loads(orjson.dumps(obj)))
        return _decoded(written.value)

    async def patch(
        self, type_: ResourceType, name: str, body: Any, media_type: str = patching.MERGE_PATCH, **more: Any
    ) -> Object:
        namespace = more.pop("namespace", "default") if type_.namespaced else ""
        target = Target(type_, namespace, name, more.pop("subresource", ""))
        force = more.pop("force", None)
        written = await self.registry.patch(self.context(**more), target, media_type, body, force=force)
        return _decoded(written.value)

    async def apply(self, type_: ResourceType, obj: Object, manager: str = "applier", **more: Any) -> Object:
        body = json_values.copy(obj)  # the write takes it over
        return await self.patch(
            type_, obj["metadata"]["name"], body, patching.APPLY_YAML, field_manager=manager, **more
        )

    async def delete(self, type_: ResourceType, name: str, namespace: str = "default", **options: Any) -> bool:
        """Delete an object; return whether it was removed at once."""
        target = Target(type_, namespace if type_.namespaced else "", name)
        return (await self.registry.delete(self.context(), target, DeleteOptions(**options))).gone

    async def list(
        self, type_: ResourceType, namespace: str = "", labels: str = "", fields: str = "", **options: Any
    ) -> Object:
        if labels:
            options["label_selector"] = selectors.parse_label_selector(labels)
        if fields:
            options["field_selector"] = selectors.parse_field_selector(fields)
        listing = await self.registry.list(self.context(), Target(type_, namespace), ListOptions(**options))
        return _decoded(whole_list(WHOLE_OBJECTS.listing(listing, self.registry.type_of_cluster(type_))))

    async def names(self, type_: ResourceType, **options: Any) -> Sequence[str]:
        return [item["metadata"]["name"] for item in (await self.list(type_, **options))["items"]]

    async def watch(
        self, type_: ResourceType, namespace: str = "", labels: str = "", fields: str = "", **options: Any
    ) -> Watch:
        if labels:
            options["label_selector"] = selectors.parse_label_selector(labels)
        if fields:
            options["field_selector"] = selectors.parse_field_selector(fields)
        options.setdefault("resource_version", str(self.registry.store.revision))
        stream = await self.registry.watch(
            self.context(), Target(type_, namespace), ListOptions(**options), WHOLE_OBJECTS
        )
        return Watch(stream)

    async def is_gone(self, type_: ResourceType, name: str, namespace: str = "default") -> bool:
        try:
            await self.get(type_, name, namespace)
        except StatusError as error:
            return error.code == 404
        return False

    async def wait_until_gone(self, type_: ResourceType, name: str, namespace: str = "default") -> None:
        """Return when there is no object of this name."""
        await eventually(lambda: self.is_gone(type_, name, namespace), f"{type_.plural} {name} is gone")


class Watch:
    """A watch, read event by event."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream
        self._ready: list[bytes] = []

    async def event(self) -> tuple[str, Object]:
        """Return the next event: its type and object."""
        while not self._ready:
            self._ready = list(await self.stream.next(PATIENCE))
        frame = orjson.loads(self._ready.pop(0))
        return frame["type"], frame["object"]

    async def events(self, count: int) -> list[tuple[str, str]]:
        """Return the types and names of the next events."""
        return [(kind, obj["metadata"].get("name", "")) for kind, obj in [await self.event() for _ in range(count)]]


@asynccontextmanager
async def registry_client() -> AsyncIterator[RegistryClient]:
    """A client of a registry over a fresh log."""
    with tempfile.TemporaryDirectory(prefix="kcp-registry-") as directory:
        store = open_store(Path(directory) / "kcp.db")
        try:
            yield RegistryClient(await compose_registry(store))
        finally:
            await store.close()


@asynccontextmanager
async def running_controllers(registry: Registry) -> AsyncIterator[Manager]:
    """Run the controllers of a registry."""
    manager = Manager(registry)
    await manager.start()
    try:
        yield manager
    finally:
        await manager.stop()


@pytest.fixture
def client(enter: Enter) -> RegistryClient:
    """A client of a registry over a fresh log."""
    return enter(registry_client())


@pytest.fixture
def controllers(enter: Enter, client: RegistryClient) -> Manager:
    """The running controllers of the client's registry."""
    return enter(running_controllers(client.registry))


def refused(code: int, reason: str) -> Any:
    """Expect a StatusError of this code and reason."""

    class Refusal:
        def __enter__(self) -> pytest.ExceptionInfo[StatusError]:
            self._raises = pytest.raises(StatusError)
            self.info = self._raises.__enter__()
            return self.info

        def __exit__(self, *problem: Any) -> bool:
            caught = bool(self._raises.__exit__(*problem))
            assert (self.info.value.code, self.info.value.reason) == (code, reason), str(self.info.value)
            return caught

    return Refusal()
