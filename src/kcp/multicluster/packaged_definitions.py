"""CustomResourceDefinitions that are shipped as manifests, and their installation into logical clusters."""

from __future__ import annotations

import hashlib
from functools import cached_property
from importlib import resources
from typing import Any

import orjson
import yaml

from kcp.client import AlreadyExistsError, Client, NotFoundError
from kcp.multicluster.crd_puller import CUSTOM_RESOURCE_DEFINITIONS


class PackagedDefinitions:
    """The definitions of a YAML file of a package: one, or those of a List. Read when they are first needed."""

    def __init__(self, package: str, file: str, *, annotation: str, field_manager: str) -> None:
        """``annotation`` gets the digest of the manifest that was installed."""
        self._package = package
        self._file = file
        self.annotation = annotation
        self._field_manager = field_manager

    @cached_property
    def _manifests(self) -> tuple[bytes, ...]:
        text = resources.files(self._package).joinpath(self._file).read_text()
        read = yaml.load(text, Loader=yaml.CSafeLoader)
        return tuple(orjson.dumps(each) for each in (read["items"] if read["kind"] == "List" else [read]))

    def all(self) -> list[dict[str, Any]]:
        """Return the CustomResourceDefinitions, each with the digest of its manifest."""
        found = []
        for manifest in self._manifests:
            definition = orjson.loads(manifest)
            annotations = definition["metadata"].setdefault("annotations", {})
            annotations[self.annotation] = hashlib.sha256(manifest).hexdigest()[:32]
            found.append(definition)
        return found

    @cached_property
    def names(self) -> frozenset[str]:
        """The names of the definitions."""
        return frozenset(each["metadata"]["name"] for each in self.all())

    async def install(self, client: Client) -> None:
        """Create the definitions that a logical cluster lacks. Raises StatusError, TransportError."""
        resource = client.resource(CUSTOM_RESOURCE_DEFINITIONS)
        for definition in self.all():
            try:
                await resource.get(definition["metadata"]["name"])
            except NotFoundError:
                try:
                    await resource.create(definition, field_manager=self._field_manager)
                except AlreadyExistsError:
                    continue  # another process has just installed it

    async def upgrade(self, client: Client, name: str) -> bool:
        """Apply a definition to a logical cluster that has another release's. Returns whether it has one.

        Raises StatusError, TransportError.
        """
        resource = client.resource(CUSTOM_RESOURCE_DEFINITIONS)
        (definition,) = (each for each in self.all() if each["metadata"]["name"] == name)
        try:
            found = await resource.get(name)
        except NotFoundError:
            return False
        installed = (found["metadata"].get("annotations") or {}).get(self.annotation)
        if installed != definition["metadata"]["annotations"][self.annotation]:
            await resource.apply(definition, field_manager=self._field_manager, force=True)
        return True
