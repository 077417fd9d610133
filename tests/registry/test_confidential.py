"""No refusal and no warning contains a value of a Secret."""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from kcp.api.errors import StatusError
from kcp.registry.contexts import STRICT
from kcp.registry.verbs import confidential, patching
from tests.support.registry_client import Object, RegistryClient

PLAIN = "correct-horse-battery"
ENCODED = base64.b64encode(PLAIN.encode()).decode()


def _secret(name: str = "s", **more: Any) -> Object:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "type": "Opaque", **more}


def _copy(path: str, source: str = "/data/a") -> Object:
    return {"op": "copy", "from": source, "path": path}


Try = Callable[[RegistryClient, Any], Awaitable[Any]]


def _creating(**more: Any) -> Try:
    return lambda client, type_: client.create(type_, _secret("new", **more))


def _patching(body: Any, media_type: str = patching.MERGE_PATCH) -> Try:
    return lambda client, type_: client.patch(type_, "s", body, media_type)


_REFUSED: dict[str, Try] = {
    "data that is not base64": _creating(data={"a": PLAIN + "!"}),
    "data that is a list": _creating(data={"a": [PLAIN]}),
    "data of a string": _creating(data=PLAIN),
    "stringData of a list": _creating(stringData={"a": [PLAIN]}),
    "unknown fields": lambda client, type_: client.create(
        type_, _secret("new", data={"a": ENCODED}, more=PLAIN), field_validation=STRICT
    ),
    "Docker configuration that is not JSON": _creating(
        type="kubernetes.io/dockerconfigjson", data={".dockerconfigjson": ENCODED}
    ),
    "replace": lambda client, type_: client.update(
        type_, _secret("s", data={"a": PLAIN + "!"}, metadata={"name": "s", "namespace": "default"})
    ),
    "merge patch": _patching({"data": {"b": PLAIN + "!"}}),
    "merge patch of other fields": _patching({"metadata": {"labels": ["x"]}}),
    "strategic merge patch": _patching({"data": {"b": PLAIN + "!"}}, patching.STRATEGIC_MERGE_PATCH),
    "JSON patch": _patching([{"op": "add", "path": "/data/b", "value": PLAIN + "!"}], patching.JSON_PATCH),
    "JSON patch of all": _patching([{"op": "replace", "path": "", "value": [PLAIN]}], patching.JSON_PATCH),
    "a test": _patching([{"op": "test", "path": "/data/a", "value": PLAIN}], patching.JSON_PATCH),
    "copy to the kind": _patching([_copy("/kind")], patching.JSON_PATCH),
    "copy to the version": _patching([_copy("/apiVersion")], patching.JSON_PATCH),
    "copy to the name": _patching([_copy("/metadata/name")], patching.JSON_PATCH),
    "copy to the labels": _patching([_copy("/metadata/labels", "/data")], patching.JSON_PATCH),
    "copy to the type": _patching([_copy("/type")], patching.JSON_PATCH),
    "apply of a list": lambda client, type_: client.apply(type_, _secret(data={"a": [PLAIN]})),
    "apply of a string": lambda client, type_: client.apply(type_, _secret(stringData=PLAIN)),
    "apply of what is not base64": lambda client, type_: client.apply(type_, _secret(data={"b": PLAIN + "!"})),
    "conflict": lambda client, type_: client.apply(type_, _secret(data={"a": ENCODED + ENCODED})),
}


@pytest.mark.parametrize("what", _REFUSED)
async def test_a_refusal_shows_no_value(client: RegistryClient, what: str) -> None:
    secrets = client.type("secrets")
    await client.create(secrets, _secret(data={"a": ENCODED, "long": ENCODED * 20}))
    with pytest.raises(StatusError) as caught:
        await _REFUSED[what](client, secrets)
    shown = f"{caught.value} {caught.value.status()}"
    for value in (PLAIN, ENCODED, ENCODED[:16]):
        assert value not in shown


async def test_invalid_base64_is_reported_with_its_key(client: RegistryClient) -> None:
    with pytest.raises(StatusError) as caught:
        await client.create(client.type("secrets"), _secret(data={"a": "abc!"}))
    assert caught.value.message == (
        'Secret in version "v1" cannot be handled as a Secret: data.a: illegal base64 data at input byte 3'
    )


@pytest.mark.parametrize(
    ("text", "at"), [("a", 0), ("abcd!", 4), ("abcdab", 4), ("abcdab=", 6), ("ab\ncd\n~", 6), ("é", 0), ("abcé", 3)]
)
def test_base64_is_checked_as_in_go(text: str, at: int) -> None:
    assert confidential.base64_problem(text) == f"illegal base64 data at input byte {at}"


async def test_a_warning_shows_no_value(client: RegistryClient) -> None:
    context = client.context()
    async with confidential.redacting(context, client.type("secrets"), {"data": {"a": ENCODED}}):
        context.warn(f'metadata.finalizers: "{PLAIN}": prefer a domain-qualified finalizer name')
    assert context.warnings == [
        f'metadata.finalizers: "{confidential.REDACTED}": prefer a domain-qualified finalizer name'
    ]


async def test_a_refusal_stays_short_whatever_the_values_are(client: RegistryClient) -> None:
    secrets = client.type("secrets")
    parts = {f"k{at}": confidential.REDACTED[at : at + 4] for at in range(len(confidential.REDACTED) - 4)}
    with pytest.raises(StatusError) as caught:
        await client.create(secrets, _secret(stringData=parts, immutable="not a boolean"))
    assert len(caught.value.message) < 2_000
    many = {f"k{at}": f"value-{at}" for at in range(5_000)}
    with pytest.raises(StatusError) as caught:
        await client.create(secrets, _secret(stringData=many, immutable="not a boolean"))
    assert "withheld" in caught.value.message
