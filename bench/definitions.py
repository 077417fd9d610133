"""Definitions like real ones, and ``python -m bench.definitions``: how long each write of one holds the event loop.

The generator uses the constructs of published definitions: deep objects with descriptions, pod-template-like lists, enums,
patterns, int-or-string fields, embedded resources, rules, defaults, several versions, columns, scale and status subresources.
The same seed gives the same definitions.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import orjson
import uvloop

from bench.client import Connection, Peer
from bench.processes import peer_of
from kcp.cli.start import configuration_of
from kcp.server.process.running import ServerProcess

Schema = dict[str, Any]
PATH: Final = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_WORDS: Final = [
    *(
        "replicas",
        "selector",
        "template",
        "container",
        "image",
        "policy",
        "timeout",
        "endpoint",
        "backend",
        "certificate",
    ),
    *(
        "issuer",
        "route",
        "listener",
        "gateway",
        "filter",
        "header",
        "weight",
        "retry",
        "probe",
        "volume",
        "claim",
        "storage",
    ),
    *(
        "class",
        "secret",
        "reference",
        "namespace",
        "label",
        "annotation",
        "port",
        "protocol",
        "address",
        "status",
        "phase",
    ),
    *(
        "condition",
        "message",
        "reason",
        "observed",
        "generation",
        "schedule",
        "window",
        "retention",
        "bucket",
        "region",
    ),
]
_SIZES: Final = (8_000, 20_000, 40_000, 80_000, 150_000, 300_000, 600_000, 1_000_000)
_SIZE_WEIGHTS: Final = (20, 30, 20, 14, 8, 4, 2, 2)
_CONDITIONS: Final = {
    "type": "array",
    "x-kubernetes-list-type": "map",
    "x-kubernetes-list-map-keys": ["type"],
    "items": {
        "type": "object",
        "required": ["lastTransitionTime", "message", "reason", "status", "type"],
        "properties": {
            "lastTransitionTime": {"type": "string", "format": "date-time"},
            "message": {"type": "string", "maxLength": 32768},
            "observedGeneration": {"type": "integer", "format": "int64", "minimum": 0},
            "reason": {
                "type": "string",
                "maxLength": 1024,
                "minLength": 1,
                "pattern": "^[A-Za-z]([A-Za-z0-9_,:]*)?$",
            },
            "status": {"type": "string", "enum": ["True", "False", "Unknown"]},
            "type": {"type": "string", "maxLength": 316},
        },
    },
}
_TICK: Final = 0.001
_BUDGET: Final = 0.05


class Generator:
    """Makes schemas of about a wanted number of bytes."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._left = 0

    def definition(self, number: int) -> dict[str, Any]:
        """One definition; its size is drawn from a distribution up to a megabyte."""
        size = self._random.choices(_SIZES, _SIZE_WEIGHTS)[0]
        name = f"{self._random.choice(_WORDS)}{number}"
        group = f"group{number % 60}.example.com"
        count = self._random.choice((1, 1, 1, 2, 3))
        versions = [self._version(f"v{index + 1}", size // count, storage=index == 0) for index in range(count)]
        return {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {
                "name": f"{name}s.{group}",
                "annotations": {"controller-gen.kubebuilder.io/version": "v0.16.5"},
            },
            "spec": {
                "group": group,
                "scope": self._random.choice(("Namespaced", "Namespaced", "Cluster")),
                "names": {
                    "plural": f"{name}s",
                    "kind": name.capitalize(),
                    "shortNames": [f"s{number}"],
                    "categories": ["all"],
                },
                "versions": versions,
            },
        }

    def _version(self, name: str, size: int, *, storage: bool) -> dict[str, Any]:
        self._left = size
        spec = self._object(depth=0)
        while self._left > 0:
            spec["properties"].update(self._object(depth=1)["properties"])
        spec["properties"]["replicas"] = {"type": "integer", "format": "int32", "minimum": 0, "default": 1}
        spec["x-kubernetes-validations"] = [
            {"rule": "!has(self.replicas) || self.replicas < 1000", "message": "too many replicas"},
            {"rule": "!has(oldSelf.replicas) || has(self.replicas)", "message": "replicas cannot be removed"},
        ]
        status = {"type": "object", "properties": {"conditions": _CONDITIONS, "replicas": {"type": "integer"}}}
        return {
            "name": name,
            "served": True,
            "storage": storage,
            "subresources": {
                "status": {},
                "scale": {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"},
            },
            "additionalPrinterColumns": [
                {"name": "Ready", "type": "string", "jsonPath": '.status.conditions[?(@.type=="Ready")].status'},
                {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
            ],
            "schema": {
                "openAPIV3Schema": {
                    "type": "object",
                    "description": self._text(12),
                    "required": ["spec"],
                    "properties": {
                        "apiVersion": {"type": "string", "description": self._text(30)},
                        "kind": {"type": "string", "description": self._text(30)},
                        "metadata": {"type": "object"},
                        "spec": spec,
                        "status": status,
                    },
                }
            },
        }

    def _object(self, depth: int) -> Schema:
        names = self._random.sample(_WORDS, self._random.randint(3, 9))
        properties = {f"{name}{self._random.randint(1, 99)}": self._any(depth + 1) for name in names}
        made: Schema = {"type": "object", "description": self._text(15), "properties": properties}
        if self._random.random() < 0.4:
            made["required"] = sorted(self._random.sample(list(properties), 2))
        return made

    def _any(self, depth: int) -> Schema:
        if depth > 7 or self._left <= 0 or self._random.random() < 0.55:
            made = self._scalar()
        else:
            made = self._random.choice(
                (self._object, self._object, self._list, self._map, self._embedded, self._ruled)
            )(depth)
        made["description"] = self._text(18)
        self._left -= 120 + len(made["description"])
        return made

    def _scalar(self) -> Schema:
        return self._random.choice(
            (
                {"type": "string"},
                {"type": "string", "minLength": 1, "maxLength": 253, "pattern": r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"},
                {"type": "string", "enum": self._random.sample(_WORDS, 4)},
                {"type": "string", "format": "date-time", "nullable": True},
                {"type": "string", "default": self._random.choice(_WORDS), "maxLength": 63},
                {"type": "boolean"},
                {"type": "integer", "format": "int32", "minimum": 1, "maximum": 65535},
                {"type": "integer", "format": "int64"},
                {
                    "anyOf": [{"type": "integer"}, {"type": "string"}],
                    "x-kubernetes-int-or-string": True,
                    "pattern": r"^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))(([KMGTPE]i)|[numkMGTPE])?$",
                },
            )
        ).copy()

    def _list(self, depth: int) -> Schema:
        items = self._object(depth)
        items["properties"]["name"] = {"type": "string", "maxLength": 63}
        items["required"] = ["name"]
        keyed = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}
        return {
            "type": "array",
            "maxItems": 16,
            "items": items,
            **self._random.choice((keyed, {"x-kubernetes-list-type": "atomic"})),
        }

    def _map(self, depth: int) -> Schema:
        return {"type": "object", "maxProperties": 16, "additionalProperties": self._any(depth + 1)}

    def _embedded(self, _depth: int) -> Schema:
        return {"type": "object", "x-kubernetes-embedded-resource": True, "x-kubernetes-preserve-unknown-fields": True}

    def _ruled(self, depth: int) -> Schema:
        made = self._object(depth)
        made["properties"]["mode"] = {"type": "string", "enum": ["One", "Two"], "default": "One"}
        made["properties"]["limit"] = {"type": "integer", "maximum": 100}
        made["x-kubernetes-validations"] = [
            {"rule": "self.mode == 'One' ? !has(self.limit) : true", "message": "limit goes with mode Two"},
            {"rule": "!has(self.limit) || self.limit > 0", "messageExpression": "'no limit in mode ' + self.mode"},
        ]
        return made

    def _text(self, words: int) -> str:
        return " ".join(self._random.choices(_WORDS, k=words)).capitalize() + "."


def definitions(count: int, seed: int = 1) -> Iterator[dict[str, Any]]:
    """So many definitions, no two alike."""
    for number in range(count):
        yield Generator(seed * 1_000_003 + number).definition(number)


class LoopClock:
    """The longest stretch of processor time between two turns of the event loop."""

    def __init__(self) -> None:
        self._last = time.thread_time()
        self.longest = 0.0
        self._tick()

    def _tick(self) -> None:
        now = time.thread_time()
        self.longest, self._last = max(self.longest, now - self._last), now
        asyncio.get_running_loop().call_later(_TICK, self._tick)

    def restart(self) -> None:
        """Measure from now on."""
        self._last, self.longest = time.thread_time(), 0.0


async def measure(count: int, *, together: bool = False) -> None:
    """Create and change definitions on a server in this process, and print what held its loop. Raises RuntimeError.

    Each definition is in a logical cluster of its own, or all are in one (``together``).
    """
    held: list[tuple[float, str, int]] = []
    with tempfile.TemporaryDirectory() as root:
        process = ServerProcess(configuration_of(["--root-directory", root, "--secure-port", "0"]))
        await process.start()
        peer = peer_of(Path(process.kubeconfig))
        clock = LoopClock()
        peer.prefix = ""
        for number, made in enumerate(definitions(count)):
            collection = f"/clusters/bench{0 if together else number}{PATH}"
            path = f"{collection}/{made['metadata']['name']}"
            clock.restart()
            created = await asyncio.to_thread(_send, peer, "POST", collection, made)
            held.append((clock.longest, "POST", len(created)))
            changed = orjson.loads(created)
            changed["metadata"]["labels"] = {"changed": "true"}
            clock.restart()
            held.append((clock.longest, "PUT", len(await asyncio.to_thread(_send, peer, "PUT", path, changed))))
            held[-1] = (clock.longest, *held[-1][1:])
        await process.stop()
    held.sort(reverse=True)
    for seconds, method, size in held[:10]:
        print(f"{seconds * 1000:8.1f} ms  {method:4} {size / 1000:8.0f} kB")
    median, over = held[len(held) // 2][0], sum(each[0] > _BUDGET for each in held)
    print(f"{len(held)} writes; median {median * 1000:.1f} ms; {over} over {_BUDGET * 1000:.0f} ms")


def _send(peer: Peer, method: str, path: str, body: dict[str, Any]) -> bytes:
    async def send() -> bytes:
        async with Connection(peer) as connection:
            status, answer = await connection.request(method, path, body)
            if status not in (200, 201):
                raise RuntimeError(f"{method} {path}: {status}: {answer[:500]!r}")
            return answer

    return asyncio.run(send())


def main() -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(prog="python -m bench.definitions", description=__doc__)
    parser.add_argument("--count", type=int, default=100, help="how many definitions")
    parser.add_argument("--together", action="store_true", help="all definitions in one logical cluster")
    options = parser.parse_args()
    uvloop.run(measure(options.count, together=options.together))


if __name__ == "__main__":
    main()
