"""The operations of a resource type: paths, parameters, bodies and answers, in the two forms of OpenAPI.

Follows what kube-apiserver publishes: ``x-kubernetes-action`` and ``x-kubernetes-group-version-kind`` on each operation, and
the parameters of the options that each verb takes. kubectl looks for ``dryRun`` and
``fieldValidation`` in the PATCH operation of a kind, so parameters are in the operations themselves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from kcp.registry.documents.openapi.definition_names import capitalized, group_words, package_of
from kcp.registry.documents.openapi.shared import full_name, shared
from kcp.schema.openapi import V2_PREFIX, V3_PREFIX

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kcp.api.kinds import GroupVersionKind
    from kcp.registry.types.resource_types import ResourceType, Subresource

_LIST: Final = (
    "allowWatchBookmarks", "continue", "fieldSelector", "labelSelector", "limit", "resourceVersion", "resourceVersionMatch",
    "sendInitialEvents", "timeoutSeconds", "watch",
)  # fmt: skip
_DELETE: Final = (
    "dryRun", "gracePeriodSeconds", "ignoreStoreReadErrorWithClusterBreakingPotential", "orphanDependents",
    "propagationPolicy",
)  # fmt: skip
_WRITE: Final = ("dryRun", "fieldManager", "fieldValidation")
_MEDIA: Final = ("application/json", "application/yaml")
_WATCHED: Final = (*_MEDIA, "application/json;stream=watch")
_PATCHES: Final = ("application/apply-patch+yaml", "application/json-patch+json", "application/merge-patch+json")
_STRATEGIC: Final = "application/strategic-merge-patch+json"
_STATUS_TEXT: Final = {200: "OK", 201: "Created", 202: "Accepted"}


class _Verb(NamedTuple):
    """The operation of a verb: HTTP method, ``x-kubernetes-action``, the word in its name, parameters, codes, description."""

    method: str
    action: str
    word: str
    parameters: tuple[str, ...]
    codes: tuple[int, ...]
    sentence: str


_VERBS: Final = {
    "list": _Verb("get", "list", "list", _LIST, (200,), "list objects of kind {kind}"),
    "create": _Verb("post", "post", "create", _WRITE, (200, 201, 202), "create{sub} {article} {kind}"),
    "deletecollection": _Verb(
        "delete", "deletecollection", "delete", (*_LIST[1:-1], *_DELETE), (200,), "delete collection of {kind}"
    ),
    "get": _Verb("get", "get", "read", ("resourceVersion",), (200,), "read{sub} the specified {kind}"),
    "update": _Verb("put", "put", "replace", _WRITE, (200, 201), "replace{sub} the specified {kind}"),
    "patch": _Verb(
        "patch", "patch", "patch", (*_WRITE, "force"), (200, 201), "partially update{sub} the specified {kind}"
    ),
    "delete": _Verb("delete", "delete", "delete", _DELETE, (200, 202), "delete {article} {kind}"),
}
_COLLECTION: Final = ("list", "create", "deletecollection")
_ITEM: Final = ("get", "update", "delete", "patch")


class Operation(NamedTuple):
    """An operation, independent of the version of OpenAPI. ``body`` and ``answer`` are full names of definitions."""

    path: str
    method: str
    name: str
    tag: str
    description: str
    action: str
    kind: dict[str, str]
    parameters: tuple[str, ...]
    body: str | None
    body_required: bool
    consumes: tuple[str, ...]
    produces: tuple[str, ...]
    answer: str
    codes: tuple[int, ...]


def operations(type_: ResourceType) -> list[Operation]:
    """All operations of a resource type, in the order of their paths."""
    return list(_Operations(type_).all())


def group_version_operation(group: str, version: str) -> Operation:
    """The operation that reads the discovery document of a group version."""
    path = f"/apis/{group}/{version}/" if group else f"/api/{version}/"
    words = group_words(group)
    return Operation(
        path=path,
        method="get",
        name=f"get{capitalized(words)}{capitalized(version)}APIResources",
        tag=f"{words}_{version}",
        description="get available resources",
        action="",
        kind={},
        parameters=(),
        body=None,
        body_required=False,
        consumes=_MEDIA,
        produces=_MEDIA,
        answer=full_name("APIResourceList"),
        codes=(200,),
    )


class _Operations:
    def __init__(self, type_: ResourceType) -> None:
        self._type = type_
        self._package = package_of(type_)
        words = group_words(type_.group)
        self._tag = f"{words}_{type_.version}"
        self._words = capitalized(words) + capitalized(type_.version)
        root = f"/apis/{type_.group}/{type_.version}" if type_.group else f"/api/{type_.version}"
        self._everywhere = f"{root}/{type_.plural}"
        inside = f"{root}/namespaces/{{namespace}}/{type_.plural}"
        self._collection = inside if type_.namespaced else self._everywhere
        self._scope = "Namespaced" if type_.namespaced else ""
        patches = (*_PATCHES, _STRATEGIC) if type_.takes_strategic_merge else _PATCHES
        self._patches = tuple(sorted(patches))

    def all(self) -> Iterator[Operation]:
        type_ = self._type
        if type_.namespaced and "list" in type_.verbs:
            name = f"list{self._words}{type_.kind}ForAllNamespaces"
            yield self._operation("list", self._everywhere, "")._replace(name=name)
        for verb in _COLLECTION:
            if verb in type_.verbs:
                yield self._operation(verb, self._collection, "Collection" if verb == "deletecollection" else "")
        item = self._collection + "/{name}"
        for verb in _ITEM:
            if verb in type_.verbs:
                yield self._operation(verb, item, "")
        for name in sorted(type_.subresources):
            subresource = type_.subresources[name]
            for verb in ("create", *_ITEM):
                if verb in subresource.verbs:
                    yield self._operation(verb, f"{item}/{name}", "", subresource)

    def _operation(self, verb: str, path: str, middle: str, subresource: Subresource | None = None) -> Operation:
        type_ = self._type
        form = _VERBS[verb]
        kind: GroupVersionKind = type_.gvk
        if subresource is not None and subresource.kind is not None and type_.builtin:
            kind = subresource.kind
        suffix = "".join(capitalized(word) for word in subresource.name.split("/")) if subresource else ""
        target = self._model(subresource)
        article = "an" if type_.kind[:1] in "AEIOU" else "a"
        sub = f" {subresource.name} of" if subresource else ""
        produces: tuple[str, ...] = _MEDIA
        answer = target
        if verb == "list":
            produces = _WATCHED if "watch" in type_.verbs else _MEDIA
            answer = f"{self._package}.{type_.list_kind}"
        elif verb in ("delete", "deletecollection"):
            answer = full_name("Status")
        body, required = self._body(verb, target)
        return Operation(
            path=path,
            method=form.method,
            name=f"{form.word}{self._words}{middle}{self._scope}{type_.kind}{suffix}",
            tag=self._tag,
            description=form.sentence.format(kind=type_.kind, article=article, sub=sub),
            action=form.action,
            kind=kind._asdict(),
            parameters=form.parameters,
            body=body,
            body_required=required,
            consumes=self._patches if verb == "patch" else _MEDIA,
            produces=produces,
            answer=answer,
            codes=form.codes,
        )

    def _model(self, subresource: Subresource | None) -> str:
        own = f"{self._package}.{self._type.kind}"
        if subresource is None or subresource.kind is None:
            return own
        short = subresource.kind.kind
        return shared().names.get(short, own)

    def _body(self, verb: str, target: str) -> tuple[str | None, bool]:
        if verb in ("create", "update"):
            return target, True
        if verb == "patch":
            return full_name("Patch"), True
        if verb in ("delete", "deletecollection"):
            return full_name("DeleteOptions"), False
        return None, False


def path_items(found: list[Operation], *, swagger: bool) -> dict[str, dict[str, Any]]:
    """Operations as the path items of an OpenAPI document, with the parameters that all operations of a path share."""
    items: dict[str, dict[str, Any]] = {}
    for operation in found:
        item = items.get(operation.path)
        if item is None:
            item = items[operation.path] = {"parameters": _path_parameters(operation, swagger=swagger)}
        item[operation.method] = _operation_v2(operation) if swagger else _operation_v3(operation)
    return items


def _path_parameters(operation: Operation, *, swagger: bool) -> list[dict[str, Any]]:
    found = []
    for name in ("name", "namespace"):
        if f"{{{name}}}" in operation.path:
            what = f"name of the {operation.kind['kind']}" if name == "name" else "the namespace of the object"
            found.append(_parameter(name, {"type": "string", "description": what}, "path", swagger=swagger))
    if operation.kind:
        found.append(_parameter("pretty", shared().parameters["pretty"], "query", swagger=swagger))
    return found


def _parameter(name: str, entry: dict[str, str], location: str, *, swagger: bool) -> dict[str, Any]:
    parameter: dict[str, Any] = {"name": name, "in": location, "description": entry["description"]}
    if location == "path":
        parameter["required"] = True
    kind = {"type": entry["type"]}
    return {**parameter, **kind} if swagger else {**parameter, "schema": kind}


def _query_parameters(operation: Operation, *, swagger: bool) -> list[dict[str, Any]]:
    table = shared().parameters
    return [_parameter(name, table[name], "query", swagger=swagger) for name in operation.parameters]


def _common(operation: Operation) -> dict[str, Any]:
    common: dict[str, Any] = {
        "description": operation.description,
        "operationId": operation.name,
        "tags": [operation.tag],
    }
    if operation.action:
        common["x-kubernetes-action"] = operation.action
        common["x-kubernetes-group-version-kind"] = operation.kind
    return common


def _operation_v3(operation: Operation) -> dict[str, Any]:
    answer = {"schema": {"$ref": V3_PREFIX + operation.answer}}
    responses: dict[str, Any] = {
        str(code): {"description": _STATUS_TEXT[code], "content": dict.fromkeys(operation.produces, answer)}
        for code in operation.codes
    }
    responses["401"] = {"description": "Unauthorized"}
    result = _common(operation)
    if operation.parameters:
        result["parameters"] = _query_parameters(operation, swagger=False)
    if operation.body is not None:
        body = {"schema": {"$ref": V3_PREFIX + operation.body}}
        content = dict.fromkeys(operation.consumes, body)
        result["requestBody"] = {"content": content}
        if operation.body_required:
            result["requestBody"]["required"] = True
    result["responses"] = responses
    return result


def _operation_v2(operation: Operation) -> dict[str, Any]:
    answer = {"$ref": V2_PREFIX + operation.answer}
    responses: dict[str, Any] = {
        str(code): {"description": _STATUS_TEXT[code], "schema": answer} for code in operation.codes
    }
    responses["401"] = {"description": "Unauthorized"}
    parameters = _query_parameters(operation, swagger=True)
    if operation.body is not None:
        body: dict[str, Any] = {"name": "body", "in": "body", "schema": {"$ref": V2_PREFIX + operation.body}}
        if operation.body_required:
            body["required"] = True
        parameters.insert(0, body)
    return {
        **_common(operation),
        "consumes": list(operation.consumes),
        "produces": list(operation.produces),
        "schemes": ["https"],
        "parameters": parameters,
        "responses": responses,
    }
