"""CertificateSigningRequests (certificates.k8s.io/v1): the requesting user is recorded, and a request never changes."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, Final

from kcp.api import field_errors, metadata, names
from kcp.api.field_errors import FieldError
from kcp.api.tables import human_duration
from kcp.auth.users import user_info
from kcp.builtin.fields import canonical_bytes, integer, keep, mapping, maps, text, texts
from kcp.builtin.strategy import BuiltinStrategy, age
from kcp.registry.contexts import RequestContext
from kcp.registry.types.strategies import Object

_USAGES: Final = tuple(
    sorted(
        (
            "any",
            "cert sign",
            "client auth",
            "code signing",
            "content commitment",
            "crl sign",
            "data encipherment",
            "decipher only",
            "digital signature",
            "email protection",
            "encipher only",
            "ipsec end system",
            "ipsec tunnel",
            "ipsec user",
            "key agreement",
            "key encipherment",
            "microsoft sgc",
            "netscape sgc",
            "ocsp signing",
            "s/mime",
            "server auth",
            "signing",
            "timestamping",
        )
    )
)
_LEGACY_SIGNER: Final = "kubernetes.io/legacy-unknown"
_MIN_SECONDS: Final = 600
_DECISIONS: Final = ("Approved", "Denied")
_FINAL: Final = (*_DECISIONS, "Failed")
_SET_BY_SERVER: Final = ("username", "uid", "groups", "extra")


def _approved(sent: Object, old: Object) -> Object:
    """The update through ``approval``: only the conditions are written."""
    status = {**mapping(old, "status")}
    keep(status, mapping(sent, "status"), "conditions")
    changed = {**sent, "status": status}
    keep(changed, old, "spec")
    _set_times(changed, old)
    return changed


def _set_times(obj: Object, old: Object) -> None:
    """Set the times of conditions that have none: the last update, and the last change of the status."""
    status = mapping(obj, "status")
    if not isinstance(conditions := status.get("conditions"), list):
        return
    now = metadata.now()
    before = {text(condition, "type"): condition for condition in maps(mapping(old, "status"), "conditions")}

    def timed(condition: Any) -> Any:
        if not isinstance(condition, dict):
            return condition
        previous = before.get(text(condition, "type")) or {}
        since = previous.get("lastTransitionTime") if previous.get("status") == condition.get("status") else None
        times = {"lastUpdateTime": now, "lastTransitionTime": since or now}
        return {**condition, **{name: condition.get(name) or time for name, time in times.items()}}

    obj["status"] = {**status, "conditions": [timed(condition) for condition in conditions]}


def _approval_errors(obj: Object, old: Object) -> list[FieldError]:
    return [*_request_errors(obj), *_condition_errors(obj), *_decision_errors(obj, old, may_decide=True)]


class CertificateSigningRequestStrategy(BuiltinStrategy):
    """CertificateSigningRequests."""

    selectable: ClassVar[frozenset[str]] = frozenset({"spec.signerName"})
    status_takes_metadata: ClassVar[bool] = True
    zero_value: ClassVar[Mapping[str, Any]] = {"spec": {}, "status": {}}
    set_by_server_on_create: ClassVar[tuple[tuple[str, ...], ...]] = (("spec",), ("status",))
    reset_fields: ClassVar[Mapping[str, tuple[tuple[str, ...], ...]]] = {
        "": (("spec",), ("status",)),
        "approval": (("spec",),),
    }
    subresource_updates: ClassVar[Mapping[str, Callable[[Object, Object], Object]]] = {"approval": _approved}
    subresource_validations: ClassVar[Mapping[str, Callable[[Object, Object], list[FieldError]]]] = {
        "approval": _approval_errors
    }

    def name_errors(self, name: str) -> list[str]:
        return names.is_path_segment_name(name)

    def default(self, obj: Object) -> None:
        super().default(obj)
        canonical_bytes(mapping(obj, "spec"), ("request",))
        canonical_bytes(mapping(obj, "status"), ("certificate",))

    def prepare_for_create(self, obj: Object, context: RequestContext) -> None:
        spec = obj["spec"] = {**mapping(obj, "spec")}
        for name in _SET_BY_SERVER:
            spec.pop(name, None)
        spec.update(user_info(context.user))
        obj["status"] = {}

    def prepare_for_update(self, obj: Object, old: Object, context: RequestContext) -> None:
        keep(obj, old, "spec")

    def prepare_for_status_update(self, obj: Object, old: Object) -> None:
        _set_times(obj, old)

    def validate(self, obj: Object) -> list[FieldError]:
        return [*_request_errors(obj), *_condition_errors(obj)]

    def validate_update(self, obj: Object, old: Object) -> list[FieldError]:
        return [*_request_errors(obj), *_condition_errors(obj), *_decision_errors(obj, old, may_decide=False)]

    def validate_status(self, obj: Object, old: Object) -> list[FieldError]:
        found = self.validate_update(obj, old)
        certificate = mapping(obj, "status").get("certificate")
        before = mapping(old, "status").get("certificate")
        if before and certificate != before:
            path = "status.certificate"
            found.append(field_errors.forbidden(path, "updates may not modify or remove an existing certificate"))
        elif certificate:
            found += _certificate_errors(certificate, "status.certificate")
        return found

    def cells(self, obj: Object) -> list[Any] | None:
        spec = mapping(obj, "spec")
        seconds = integer(spec, "expirationSeconds")
        duration = "<none>" if seconds is None else human_duration(seconds)
        return [age(obj), text(spec, "signerName") or "<none>", text(spec, "username"), duration, _state(obj)]

    def selectable_fields(self, obj: Object) -> Mapping[str, str]:
        return {"spec.signerName": text(mapping(obj, "spec"), "signerName")}


def _state(obj: Object) -> str:
    status = mapping(obj, "status")
    types = [text(condition, "type") for condition in maps(status, "conditions")]
    shown = "Denied" if "Denied" in types else "Approved" if "Approved" in types else ""
    state = shown or "Pending"
    if "Failed" in types:
        state += ",Failed"
    if status.get("certificate"):
        state += ",Issued"
    return state


def _request_errors(obj: Object) -> Iterator[FieldError]:
    spec = mapping(obj, "spec")
    if problem := _pkcs10_problem(spec.get("request")):
        yield field_errors.invalid("spec.request", spec.get("request"), problem)
    usages = texts(spec, "usages")
    if not usages:
        yield field_errors.required("spec.usages", "usages must be provided")
    for index, usage in enumerate(usages):
        if usage not in _USAGES:
            yield field_errors.not_supported(f"spec.usages[{index}]", usage, _USAGES)
    for index, usage in enumerate(usages):
        if usage in usages[:index]:
            yield field_errors.duplicate(f"spec.usages[{index}]", usage)
    signer = text(spec, "signerName")
    if signer == _LEGACY_SIGNER:
        why = "the legacy signerName is not allowed via this API version"
        yield field_errors.invalid("spec.signerName", signer, why)
    else:
        yield from _signer_errors(signer)
    seconds = integer(spec, "expirationSeconds")
    if seconds is not None and seconds < _MIN_SECONDS:
        why = "may not specify a duration less than 600 seconds (10 minutes)"
        yield field_errors.invalid("spec.expirationSeconds", seconds, why)


def _signer_errors(signer: str) -> Iterator[FieldError]:
    path = "spec.signerName"
    if not signer:
        yield field_errors.required(path)
        return
    domain, slash, step = signer.partition("/")
    if not slash or "/" in step:
        why = "must be a fully qualified domain and path of the form 'example.com/signer-name'"
        yield field_errors.invalid(path, signer, why)
        return
    for label in domain.split("."):
        for why in names.is_dns1123_label(label):
            yield field_errors.invalid(path, signer, f"validating label {_quoted(label)}: {why}")
    if "." not in domain:
        yield field_errors.invalid(path, signer, "should be a domain with at least two segments separated by dots")
    for why in names.is_dns1123_subdomain(step):
        yield field_errors.invalid(path, signer, f"validating label {_quoted(step)}: {why}")
    if len(signer) > 571:
        yield field_errors.too_long(path, 571)


def _quoted(label: str) -> str:
    return f'"{label}"'


def _pkcs10_problem(value: Any) -> str:
    """The error of a value that is not a signed PKCS #10 request in PEM; empty if it is one."""
    from cryptography import x509

    try:
        content = base64.b64decode(value) if isinstance(value, str) else b""
        if b"-----BEGIN CERTIFICATE REQUEST-----" not in content:
            return "PEM block type must be CERTIFICATE REQUEST"
        request = x509.load_pem_x509_csr(content)
        return "" if request.is_signature_valid else "the signature of the request is not valid"
    except ValueError as problem:
        return str(problem) or "the request cannot be parsed"


def _certificate_errors(value: Any, path: str) -> Iterator[FieldError]:
    from cryptography import x509

    try:
        content = base64.b64decode(value) if isinstance(value, str) else b""
        if b"-----BEGIN CERTIFICATE-----" not in content:
            yield field_errors.invalid(path, "<certificate data>", "must contain at least one CERTIFICATE PEM block")
        else:
            x509.load_pem_x509_certificates(content)
    except ValueError as problem:
        yield field_errors.invalid(path, "<certificate data>", str(problem))


def _condition_errors(obj: Object) -> Iterator[FieldError]:
    conditions = maps(mapping(obj, "status"), "conditions")
    seen: list[str] = []
    for index, condition in enumerate(conditions):
        path = f"status.conditions[{index}]"
        type_, status = text(condition, "type"), text(condition, "status")
        if not type_:
            yield field_errors.required(f"{path}.type")
        choices = ("True",) if type_ in _FINAL else ("True", "False", "Unknown")
        if not status:
            yield field_errors.required(f"{path}.status")
        elif status not in choices:
            yield field_errors.not_supported(f"{path}.status", status, choices)
        for other, opposite in (_DECISIONS, _DECISIONS[::-1]):
            if type_ == other and opposite in seen:
                why = "Approved and Denied conditions are mutually exclusive"
                yield field_errors.invalid(f"{path}.type", type_, why)
        if type_ in seen:
            yield field_errors.duplicate(f"{path}.type", type_)
        seen.append(type_)


def _decision_errors(obj: Object, old: Object, *, may_decide: bool) -> Iterator[FieldError]:
    path = "status.conditions"
    for type_ in _FINAL:
        after, before = (
            [condition for condition in maps(mapping(which, "status"), "conditions") if condition.get("type") == type_]
            for which in (obj, old)
        )
        if len(after) < len(before):
            yield field_errors.forbidden(path, f'updates may not remove a condition of type "{type_}"')
        elif not may_decide and type_ in _DECISIONS:
            if len(after) > len(before):
                yield field_errors.forbidden(path, f'updates may not add a condition of type "{type_}"')
            elif after != before:
                yield field_errors.forbidden(path, f'updates may not modify a condition of type "{type_}"')
