"""The OpenAPI documents of a surface: the properties that every client relies on."""

from __future__ import annotations

from collections import Counter
from typing import Any

import orjson
import pytest

from kcp.registry.documents.discovery import DiscoveryDocuments
from kcp.registry.documents.document_cache import DocumentCache
from kcp.registry.documents.openapi import OpenAPIDocuments, url
from kcp.registry.documents.openapi import documents as openapi_documents
from kcp.registry.documents.openapi.fragments import build
from kcp.registry.types.resource_types import ResourceType
from tests.openapi.resource_samples import builtin, custom, declared, references, widget

V3_PREFIX = "#/components/schemas/"
V2_PREFIX = "#/definitions/"
OBJECT_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"


@pytest.fixture(name="documents")
def _documents() -> OpenAPIDocuments:
    return OpenAPIDocuments([*builtin(), widget()])


def index(documents: OpenAPIDocuments) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = orjson.loads(documents.index().body)["paths"]
    return found


def v3(documents: OpenAPIDocuments, name: str) -> Any:
    found = documents.v3(name)
    assert found is not None
    return orjson.loads(found.body)


def everything(documents: OpenAPIDocuments) -> list[tuple[str, Any, dict[str, Any], str]]:
    """Each document: its name, itself, its definitions and the prefix of its references."""
    found = []
    for name in index(documents):
        document = v3(documents, name)
        found.append((name, document, document["components"]["schemas"], V3_PREFIX))
    swagger = orjson.loads(documents.v2_json().body)
    found.append(("swagger", swagger, swagger["definitions"], V2_PREFIX))
    return found


def operations(document: Any) -> list[tuple[str, str, Any]]:
    return [
        (path, method, operation)
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if method != "parameters"
    ]


def test_the_index_has_every_group_version_with_a_url_that_names_its_content(documents: OpenAPIDocuments) -> None:
    paths = index(documents)
    assert "api/v1" in paths
    assert "apis/example.com/v1" in paths
    for name, entry in paths.items():
        document = documents.v3(name)
        assert document is not None
        assert entry == {"serverRelativeURL": f"/openapi/v3/{name}?hash={document.etag[1:-1]}"}


def test_a_group_version_that_is_not_served_has_no_document(documents: OpenAPIDocuments) -> None:
    assert documents.v3("apis/example.com/v2") is None
    assert documents.v3("api") is None


def test_every_reference_resolves_inside_its_document(documents: OpenAPIDocuments) -> None:
    for name, document, definitions, prefix in everything(documents):
        dangling = {target for target in references(document) if target.removeprefix(prefix) not in definitions}
        assert not dangling, name


def test_every_definition_is_used_or_is_a_kind(documents: OpenAPIDocuments) -> None:
    for name, document, definitions, prefix in everything(documents):
        used = {target.removeprefix(prefix) for target in references(document)}
        kinds = {key for key, schema in definitions.items() if "x-kubernetes-group-version-kind" in schema}
        assert not definitions.keys() - used - kinds, name


def test_every_kind_is_defined_once(documents: OpenAPIDocuments) -> None:
    for name, _, definitions, _ in everything(documents):
        kinds = Counter(
            tuple(sorted(kind.items()))
            for schema in definitions.values()
            for kind in schema.get("x-kubernetes-group-version-kind", ())
        )
        assert all(count == 1 for count in kinds.values()), name


def test_every_operation_has_a_name_of_its_own(documents: OpenAPIDocuments) -> None:
    for name, document, _, _ in everything(documents):
        names = Counter(operation["operationId"] for _, _, operation in operations(document))
        assert all(count == 1 for count in names.values()), name


def test_every_path_parameter_is_declared(documents: OpenAPIDocuments) -> None:
    for _, document, _, _ in everything(documents):
        for path, item in document["paths"].items():
            declared_names = {entry["name"] for entry in item["parameters"] if entry["in"] == "path"}
            assert {part[1:-1] for part in path.split("/") if part.startswith("{")} == declared_names


def test_operations_agree_with_discovery(documents: OpenAPIDocuments) -> None:
    types = [*builtin(), widget()]
    discovery = DiscoveryDocuments(types)
    actions = {"list", "post", "deletecollection", "get", "put", "patch", "delete"}
    verbs = {"create": "post", "update": "put"}
    for type_ in types:
        name = f"apis/{type_.group}/{type_.version}" if type_.group else f"api/{type_.version}"
        resources = orjson.loads(discovery.resources(type_.group, type_.version) or b"")["resources"]
        served = next(entry["verbs"] for entry in resources if entry["name"] == type_.plural)
        published = {
            operation["x-kubernetes-action"]
            for path, _, operation in operations(v3(documents, name))
            if f"/{type_.plural}" in path and path.rpartition(f"/{type_.plural}")[2] in ("", "/{name}")
        }
        assert published == {verbs.get(verb, verb) for verb in served} & actions, type_.plural


def test_names_of_definitions_are_those_of_kubernetes(documents: OpenAPIDocuments) -> None:
    definitions = orjson.loads(documents.v2_json().body)["definitions"]
    assert {
        OBJECT_META,
        "io.k8s.api.core.v1.ConfigMap",
        "io.k8s.api.core.v1.ConfigMapList",
        "io.k8s.api.core.v1.NamespaceSpec",
        "io.k8s.api.coordination.v1.Lease",
        "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinition",
        "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps",
        "com.example.v1.Widget",
        "com.example.v1.WidgetList",
    } <= definitions.keys()


def test_a_kind_can_be_found_by_group_version_and_kind(documents: OpenAPIDocuments) -> None:
    schema = v3(documents, "apis/example.com/v1")["components"]["schemas"]["com.example.v1.Widget"]
    assert schema["x-kubernetes-group-version-kind"] == [{"group": "example.com", "version": "v1", "kind": "Widget"}]
    assert schema["properties"]["metadata"]["allOf"] == [{"$ref": V3_PREFIX + OBJECT_META}]
    assert schema["required"] == ["spec"]


def test_patching_tells_kubectl_that_dry_run_and_field_validation_are_known(documents: OpenAPIDocuments) -> None:
    path = "/apis/example.com/v1/namespaces/{namespace}/widgets/{name}"
    for document in (v3(documents, "apis/example.com/v1"), orjson.loads(documents.v2_json().body)):
        operation = document["paths"][path]["patch"]
        assert operation["x-kubernetes-group-version-kind"] == {
            "group": "example.com",
            "version": "v1",
            "kind": "Widget",
        }
        assert operation["x-kubernetes-action"] == "patch"
        names = {entry["name"] for entry in operation["parameters"]}
        assert {"dryRun", "fieldValidation", "fieldManager", "force"} <= names


def test_only_built_in_types_take_strategic_merge_patches(documents: OpenAPIDocuments) -> None:
    strategic = "application/strategic-merge-patch+json"
    own = v3(documents, "api/v1")["paths"]["/api/v1/namespaces/{namespace}/configmaps/{name}"]["patch"]
    other = v3(documents, "apis/example.com/v1")["paths"]["/apis/example.com/v1/namespaces/{namespace}/widgets/{name}"]
    assert strategic in own["requestBody"]["content"]
    assert strategic not in other["patch"]["requestBody"]["content"]
    assert "application/apply-patch+yaml" in other["patch"]["requestBody"]["content"]


def test_operations_are_named_and_tagged_as_in_kubernetes(documents: OpenAPIDocuments) -> None:
    swagger = orjson.loads(documents.v2_json().body)["paths"]
    maps = "/api/v1/namespaces/{namespace}/configmaps"
    assert swagger["/api/v1/configmaps"]["get"]["operationId"] == "listCoreV1ConfigMapForAllNamespaces"
    assert swagger[maps]["delete"]["operationId"] == "deleteCoreV1CollectionNamespacedConfigMap"
    assert swagger[maps + "/{name}"]["put"]["operationId"] == "replaceCoreV1NamespacedConfigMap"
    assert swagger[maps]["get"]["tags"] == ["core_v1"]
    widgets = "/apis/example.com/v1/namespaces/{namespace}/widgets/{name}/status"
    assert swagger[widgets]["patch"]["operationId"] == "patchExampleComV1NamespacedWidgetStatus"
    assert swagger[widgets]["get"]["tags"] == ["exampleCom_v1"]


def test_the_scale_subresource_has_the_kind_scale(documents: OpenAPIDocuments) -> None:
    path = "/apis/example.com/v1/namespaces/{namespace}/widgets/{name}/scale"
    operation = v3(documents, "apis/example.com/v1")["paths"][path]["get"]
    schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
    assert schema == {"$ref": V3_PREFIX + "io.k8s.api.autoscaling.v1.Scale"}


def test_merge_keys_are_published_for_client_side_apply(documents: OpenAPIDocuments) -> None:
    for _, _, definitions, _ in everything(documents):
        owners = definitions[OBJECT_META]["properties"]["ownerReferences"] if OBJECT_META in definitions else None
        if owners is not None:
            assert owners["x-kubernetes-patch-strategy"] == "merge"
            assert owners["x-kubernetes-patch-merge-key"] == "uid"


def test_selectable_fields_are_published(documents: OpenAPIDocuments) -> None:
    type_ = custom("Gadget", selectableFields=[{"jsonPath": ".spec.size"}])
    schemas = v3(OpenAPIDocuments([type_]), "apis/example.com/v1")["components"]["schemas"]
    assert schemas["com.example.v1.Gadget"]["x-kubernetes-selectable-fields"] == [{"fieldPath": "spec.size"}]


def test_a_custom_resource_of_the_core_group_stands_with_the_core_types() -> None:
    document = v3(OpenAPIDocuments([*builtin(), custom("Pod", "")]), "api/v1")
    assert "io.k8s.api.core.v1.Pod" in document["components"]["schemas"]
    assert "/api/v1/namespaces/{namespace}/pods/{name}" in document["paths"]


def test_local_definitions_of_one_name_and_different_content_are_kept_apart() -> None:
    one = declared("Cat", "cats.k8s.io", {"Spec": {"type": "object", "properties": {"a": {"type": "string"}}}})
    other = declared("Dog", "cats.k8s.io", {"Spec": {"type": "object", "properties": {"b": {"type": "string"}}}})
    schemas = v3(OpenAPIDocuments([one, other]), "apis/cats.k8s.io/v1")["components"]["schemas"]
    assert schemas["io.k8s.api.cats.v1.CatSpec"]["properties"].keys() == {"a"}
    assert schemas["io.k8s.api.cats.v1.DogSpec"]["properties"].keys() == {"b"}
    assert schemas["io.k8s.api.cats.v1.Dog"]["properties"]["spec"] == {"$ref": V3_PREFIX + "io.k8s.api.cats.v1.DogSpec"}


def test_equal_local_definitions_are_published_once() -> None:
    local = {"Spec": {"type": "object", "properties": {"next": {"$ref": "#/$defs/Spec"}}}}
    types = [declared("Cat", "cats.k8s.io", local), declared("Dog", "cats.k8s.io", local)]
    schemas = v3(OpenAPIDocuments(types), "apis/cats.k8s.io/v1")["components"]["schemas"]
    name = "io.k8s.api.cats.v1.Spec"
    assert schemas[name]["properties"]["next"] == {"$ref": V3_PREFIX + name}


def test_a_definition_of_values_of_several_types_is_not_published_as_an_object(documents: OpenAPIDocuments) -> None:
    package = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1"
    version_3 = v3(documents, "apis/apiextensions.k8s.io/v1")["components"]["schemas"]
    version_2 = orjson.loads(documents.v2_json().body)["definitions"]
    for kind in ("JSON", "JSONSchemaPropsOrBool", "JSONSchemaPropsOrArray"):
        for definitions in (version_3, version_2):
            assert not definitions[f"{package}.{kind}"].keys() & {"type", "properties", "items"}


def test_a_reference_to_nothing_is_refused() -> None:
    broken = declared("Cat", "cats.k8s.io", {"Other": {"type": "object"}})
    with pytest.raises(ValueError, match=r"#/\$defs/Spec is defined nowhere"):
        OpenAPIDocuments([broken]).v2_json()


def test_a_change_is_seen_in_its_own_group_version_only() -> None:
    before = OpenAPIDocuments([*builtin(), custom("Widget"), custom("Gadget", "gadgets.dev")])
    changed = {"type": "object", "properties": {"spec": {"type": "string"}}}
    after = OpenAPIDocuments([*builtin(), custom("Widget", schema=changed), custom("Gadget", "gadgets.dev")])
    assert {name for name, entry in index(after).items() if index(before)[name] != entry} == {"apis/example.com/v1"}
    assert before.index().etag != after.index().etag
    assert before.v2_json().etag != after.v2_json().etag
    assert before.v2_protobuf().etag != after.v2_protobuf().etag


def test_equal_types_make_equal_documents_whatever_their_order() -> None:
    one = OpenAPIDocuments([*builtin(), widget(), custom("Gadget")])
    other = OpenAPIDocuments([custom("Gadget"), widget(), *reversed(builtin())])
    assert one.index() == other.index()
    assert one.v2_json() == other.v2_json()
    assert one.v2_protobuf() == other.v2_protobuf()


def test_the_url_of_a_document_names_its_content(documents: OpenAPIDocuments) -> None:
    document = documents.v3("api/v1")
    assert document is not None
    assert url("api/v1", document.etag[1:-1]) == index(documents)["api/v1"]["serverRelativeURL"]


def test_documents_are_the_same_when_little_can_be_remembered() -> None:
    roomy = OpenAPIDocuments([*builtin(), widget()])
    cache = DocumentCache(limit=1)
    tight = OpenAPIDocuments([*builtin(), widget()], cache)
    assert tight.index() == roomy.index()
    assert tight.v3("api/v1") == roomy.v3("api/v1")
    assert tight.v2_json() == roomy.v2_json()


def test_the_cache_stays_within_its_bound() -> None:
    cache = DocumentCache(limit=200_000)
    for number in range(20):
        assert OpenAPIDocuments([custom("Widget", f"g{number}.dev")], cache).v3(f"apis/g{number}.dev/v1") is not None
    assert 0 < cache.size <= 200_000


def test_both_forms_of_a_large_document_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    wide = {f"field{number}": {"type": "string", "description": "x" * 100} for number in range(300)}
    schema = {"type": "object", "properties": {"spec": {"type": "object", "properties": wide}}}
    types = [custom(f"Kind{number}", "large.dev", schema=schema) for number in range(250)]
    found = OpenAPIDocuments(types)
    first = found.v2_json(), found.v2_protobuf()
    assert len(first[0].body) > 10 << 20
    for name in ("build", "with_shared"):
        monkeypatch.setattr(openapi_documents, name, lambda *_: pytest.fail("the document is remembered"))
    again = OpenAPIDocuments(types)
    assert (again.v2_json(), again.v2_protobuf()) == first


def test_the_index_is_known_before_any_document_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    types = [*builtin(), custom("Early", "early.dev")]
    with monkeypatch.context() as patching:
        patching.setattr(openapi_documents, "build", lambda *_: pytest.fail("a document is made"))
        hashes = index(OpenAPIDocuments(types, DocumentCache()))
    document = OpenAPIDocuments(types).v3("apis/early.dev/v1")
    assert document is not None
    assert hashes["apis/early.dev/v1"] == {"serverRelativeURL": url("apis/early.dev/v1", document.etag[1:-1])}


def test_equal_types_of_other_logical_clusters_share_their_documents(monkeypatch: pytest.MonkeyPatch) -> None:
    first = OpenAPIDocuments([*builtin(), custom("Shared", "shared.dev")])
    made = first.v2_json(), first.v2_protobuf(), first.v3("apis/shared.dev/v1"), first.v3_protobuf("apis/shared.dev/v1")
    monkeypatch.setattr(openapi_documents, "build", lambda *_: pytest.fail("a document is made"))
    again = OpenAPIDocuments([*builtin(), custom("Shared", "shared.dev")])
    found = (
        again.v2_json(),
        again.v2_protobuf(),
        again.v3("apis/shared.dev/v1"),
        again.v3_protobuf("apis/shared.dev/v1"),
    )
    assert found == made


def test_a_change_builds_the_fragment_of_the_changed_type_only(monkeypatch: pytest.MonkeyPatch) -> None:
    def documents_with(description: str) -> OpenAPIDocuments:
        schema = {"type": "object", "description": description}
        kept = [custom(f"Kept{number}", "kept.dev") for number in range(5)]
        return OpenAPIDocuments([*kept, custom("Other", "kept.dev", schema=schema)])

    before = documents_with("before")
    before.v2_json()
    before.v3("apis/kept.dev/v1")
    built: list[str] = []

    def counted(type_: ResourceType, *more: Any) -> Any:
        built.append(type_.kind)
        return build(type_, *more)

    monkeypatch.setattr(openapi_documents, "build", counted)
    after = documents_with("after")
    after.v2_json()
    after.v3("apis/kept.dev/v1")
    assert built == ["Other", "Other"]
