"""Documents: the JSON and YAML bodies of requests, and stored objects.

Bodies are decoded as in kube-apiserver (sigs.k8s.io/json and yaml): duplicate keys are detected if field validation asks for
it, and depth is limited. A stored object has its keys in a fixed order, so that the resource version and the logical cluster can
be spliced into its bytes: ``{"apiVersion":..,"kind":..,"metadata":{"resourceVersion":"","annotations":{..},..},..}``.
"""

from __future__ import annotations

import re
from typing import Any, Final

import orjson

from kcp.api import duplicate_keys, errors, json_values, large_json
from kcp.logical_clusters import ANNOTATION, LogicalClusterName

MAX_DEPTH: Final = 200
"""Maximum nesting of a body. orjson serializes 254 levels, and managed fields nest an object's levels in a few more."""

MAX_BYTES: Final = 3 * 1024 * 1024
"""Maximum size of a body, and of the JSON that a YAML body represents, as in kube-apiserver."""

_TOO_DEEP: Final = ("depth", "Recursion limit")
"""Texts in orjson's errors about nesting, which differ between releases."""

_MAPPED_FROM: Final = 1 << 20
"""Bytes from which allocations are mapped by themselves (`kcp.server.process.allocator`)."""
_NO_REVISION: Final = b'"resourceVersion":""'
_REVISION: Final = b'"resourceVersion":"%d"'
_METADATA: Final = b',"metadata":{"resourceVersion":"'
_ANNOTATION: Final = ANNOTATION.encode()
_ANNOTATIONS: Final = b',"annotations":{'
_ALIKE: Final = bytes.maketrans(b"123456789eE\n\t\r[", b"000000000..   {")
"""Makes all digits, points and exponents, white space, and opening brackets of a JSON document alike."""
_FRACTION: Final = re.compile(rb"[:,{ ]-?0+\.")
"""A number with a fraction or an exponent, and what is before it, in a document that is made alike."""
_SPACED_COLONS: Final = (b" :", b"\n:", b"\t:", b"\r:")
_BACKSLASH: Final = ord("\\")

encode = orjson.dumps


def encode_stored(obj: dict[str, Any]) -> bytes:
    """Serialize an object for the store: apiVersion, kind, metadata (an empty resource version, then annotations) come first.

    Drops the annotation of the logical cluster, and empty annotations. Raises orjson.JSONEncodeError for values that JSON
    cannot represent.
    """
    meta = obj["metadata"]
    ordered: dict[str, Any] = {"resourceVersion": "", "annotations": None, **meta}
    ordered["resourceVersion"] = ""
    annotations = ordered["annotations"]
    if annotations and ANNOTATION in annotations:
        annotations = {name: value for name, value in annotations.items() if name != ANNOTATION}
        ordered["annotations"] = annotations
    if not annotations:
        del ordered["annotations"]
    whole = {"apiVersion": obj["apiVersion"], "kind": obj["kind"], "metadata": meta, **obj}
    whole["metadata"] = ordered
    text = orjson.dumps(whole)
    # orjson reserves more memory than its result needs; a copy has the exact size. What is reserved for a large one takes none
    return text if len(text) > _MAPPED_FROM else bytes(memoryview(text))


def decode_stored(value: bytes) -> Any:
    """Decode stored bytes."""
    return orjson.loads(value) if len(value) < large_json.LARGE else large_json.decode(value)


def splice_revision(value: bytes, revision: int) -> bytes:
    """Insert the resource version into stored bytes."""
    # the first match is metadata's: quotes in strings are escaped, and no object precedes metadata
    return value.replace(_NO_REVISION, _REVISION % revision, 1)


def stored_problem(value: bytes, namespace: str, name: str) -> str | None:
    """Check the stored bytes of the object with this namespace and name. Returns the violated invariant, or None."""
    try:
        obj = orjson.loads(value)
    except orjson.JSONDecodeError as error:
        return f"it is not JSON: {error}"
    if not isinstance(obj, dict) or [*obj][:3] != ["apiVersion", "kind", "metadata"]:
        return "it is not an object that begins with apiVersion, kind and metadata"
    meta = obj["metadata"]
    if not isinstance(meta, dict):
        return "its metadata is not an object"
    version, kind = orjson.dumps(obj["apiVersion"]), orjson.dumps(obj["kind"])
    if not value.startswith(b'{"apiVersion":%s,"kind":%s%s"' % (version, kind, _METADATA)):
        return "its metadata does not begin with an empty resourceVersion"
    annotations = meta.get("annotations", {})
    if not isinstance(annotations, dict):
        return "its annotations are not an object"
    if "annotations" in meta and ([*meta][1] != "annotations" or not annotations):
        return "its annotations are empty, or do not follow the resourceVersion"
    if ANNOTATION in annotations:
        return f"it has the annotation {ANNOTATION}, which is never stored"
    found = (meta.get("namespace", ""), meta.get("name"))
    if found != (namespace, name):
        return f"its metadata names {'/'.join(map(str, found)).strip('/')}"
    return None


def splice_cluster(value: bytes, cluster: LogicalClusterName) -> bytes:
    """Insert the annotation of the logical cluster into the bytes of a stored object, with or without their resource version."""
    end = value.index(b'"', value.index(_METADATA) + len(_METADATA)) + 1
    if value.startswith(_ANNOTATIONS, end):
        start = end + len(_ANNOTATIONS)
        return b'%b"%b":%b,%b' % (value[:start], _ANNOTATION, orjson.dumps(cluster), value[start:])
    return b'%b,"annotations":{"%b":%b}%b' % (value[:end], _ANNOTATION, orjson.dumps(cluster), value[end:])


def decode_json(body: bytes, *, find_duplicates: bool = False) -> tuple[Any, list[str]]:
    """Decode a JSON body. Returns the value, with the last of duplicate keys, and their dotted paths. Raises StatusError 400.

    Whole numbers become integers, however they are written: Go writes ``5.0`` and ``5e0`` as ``5``, and its clients do not
    decode another form into an integer.
    """
    alike = body.translate(_ALIKE)
    fractions, deep = _may_have_fractions(alike), alike.count(b"{") > MAX_DEPTH
    if len(body) >= large_json.LARGE:
        alike = b""  # the copy of a large body
    try:
        value = orjson.loads(body) if len(body) < large_json.LARGE else large_json.decode(body)
    except orjson.JSONDecodeError as error:
        if not body.strip():
            raise errors.bad_request("the body of the request is empty") from error
        if any(words in str(error) for words in _TOO_DEEP):
            raise _too_deep() from error
        raise errors.bad_request(f"the body of the request is not valid JSON: {error}") from error
    if deep:
        _check_depth(value)
    if fractions:
        value = json_values.with_integers(value)
    if not find_duplicates or _keys_are_distinct(body, value, alike):
        return value, []
    return value, duplicate_keys.of_json(body)


def _may_have_fractions(alike: bytes) -> bool:
    """Whether a body, made alike, may have numbers with a fraction or an exponent. Most have nothing that looks like one."""
    return alike.find(b"0.") >= 0 and _FRACTION.search(b" " + alike) is not None


def _is_spaced(body: bytes) -> bool:
    """Whether a colon follows white space."""
    return any(body.find(colon) >= 0 for colon in _SPACED_COLONS)  # without a copy: it would be there beside the value


def _too_deep() -> errors.StatusError:
    return errors.bad_request(f"the body of the request is nested more than {MAX_DEPTH} levels deep")


def _check_depth(value: Any) -> None:
    level = [value] if isinstance(value, (dict, list)) else []
    for _ in range(MAX_DEPTH):
        if not level:
            return
        level = json_values.containers_in(level)
    if level:
        raise _too_deep()


def _keys_are_distinct(body: bytes, value: Any, alike: bytes) -> bool:
    """Whether the body has no duplicate keys. False when only a second parse can tell.

    Serialized again, a value has as many keys as its body, unless one was a duplicate. A body in orjson's own format is compared
    at once. Otherwise keys are counted: if no colon follows white space, every key ends in ``":``, which a string contains only
    after a backslash. The keys of a large value are counted without its text, and without ``alike``: the body, made alike.
    """
    if len(body) >= large_json.LARGE:
        return (
            not _is_spaced(body)
            and b'\\\\":' not in body
            and body.count(b'":') - body.count(b'\\":') == json_values.count_keys(value)
        )
    written = orjson.dumps(value)
    if body.startswith(written):
        return True
    if alike.find(b" :") >= 0:
        return False
    if _BACKSLASH not in body:
        return body.count(b'":') == written.count(b'":')
    if b'\\\\":' in body:
        return False
    return body.count(b'":') - body.count(b'\\":') == written.count(b'":') - written.count(b'\\":')


def decode_yaml(body: bytes, *, find_duplicates: bool = False) -> tuple[Any, list[str]]:
    """A YAML body and the dotted paths of its duplicate keys. Raises StatusError 400 (413 where its JSON is too large)."""
    from kcp.api import yaml_documents, yaml_expansion, yaml_input

    if not body.strip():
        raise errors.bad_request("the body of the request is empty")
    try:
        value, duplicates = yaml_documents.load(body, max_depth=MAX_DEPTH, max_size=MAX_BYTES)
    except yaml_expansion.ExpansionError as error:
        raise errors.request_entity_too_large(str(error)) from error
    except yaml_input.YAMLError as error:
        raise errors.bad_request(f"error converting YAML to JSON: {error}") from error
    return value, duplicates if find_duplicates else []


def encode_yaml(value: Any) -> bytes:
    """A YAML document with sorted keys, as kubectl prints it."""
    from kcp.api import yaml_output

    return yaml_output.dump(value)
