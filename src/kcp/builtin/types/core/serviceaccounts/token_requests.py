"""TokenRequests (authentication.k8s.io/v1): what clients create through ``serviceaccounts/token``.

Follows kube-apiserver's ``TokenREST`` (KEP-1205). The schema is the one that OpenAPI publishes.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from kcp.api import errors, field_errors, times
from kcp.api.kinds import GroupKind, GroupResource, GroupVersion
from kcp.auth.service_accounts.bound_objects import ACCOUNTS, PLURALS
from kcp.auth.service_accounts.claims import Account, Reference
from kcp.auth.service_accounts.issuer import TokenIssuer
from kcp.builtin.context import BuiltinContext
from kcp.builtin.fields import mapping, text, texts
from kcp.builtin.strategy import BuiltinStrategy
from kcp.registry.contexts import RequestContext
from kcp.registry.types.resource_types import ResourceType, from_definition
from kcp.registry.types.strategies import Object

_DEFAULT_SECONDS: Final = 3600
_LEAST_SECONDS: Final = 600
_MOST_SECONDS: Final = 1 << 32
_SCHEMAS: Final = ("TokenRequestSpec", "TokenRequestStatus", "BoundObjectReference", "Time")
_KIND: Final = GroupKind("authentication.k8s.io", "TokenRequest")
_ACCOUNTS: Final = GroupResource("", ACCOUNTS)
_BINDABLE: Final = {"Pod": "pod", "Secret": "secret", "Node": "node"}


class TokenRequestStrategy(BuiltinStrategy):
    """Answers with a token of the service account in the path."""

    def default(self, obj: Object) -> None:
        super().default(obj)
        spec = obj.get("spec")
        if isinstance(spec, dict) and spec.get("expirationSeconds") is None:
            spec["expirationSeconds"] = _DEFAULT_SECONDS

    async def answer(self, obj: Object, context: RequestContext) -> Object | None:
        issuer = self.context.issuer
        if issuer is None:
            return None
        spec = dict(mapping(obj, "spec"))
        spec["audiences"] = texts(spec, "audiences") or list(issuer.options.api_audiences)
        seconds = spec["expirationSeconds"]
        _check_lifetime(seconds)
        await issuer.objects.registry.store.catch_up()
        account = _account_of(obj, context, issuer)
        bound = await _bound(mapping(spec, "boundObjectRef"), account, issuer) if spec.get("boundObjectRef") else {}
        longest = issuer.options.longest
        if longest is not None and seconds > longest:
            context.warn(f"requested expiration of {seconds} seconds shortened to {longest} seconds")
            seconds = spec["expirationSeconds"] = longest
        meta = {**obj["metadata"], "creationTimestamp": times.now()}
        issued = await issuer.issue(account, spec["audiences"], seconds, bound)
        expires = times.whole_time(dt.datetime.fromtimestamp(issued.expires, dt.UTC))
        status = {"token": issued.token, "expirationTimestamp": expires}
        return {**obj, "metadata": meta, "spec": spec, "status": status}


def token_request_type(context: BuiltinContext) -> ResourceType:
    """Make the type of TokenRequests. It is no resource of its own: discovery shows it as a subresource of accounts."""
    from kcp.registry.documents.openapi.shared import shared

    published = shared()
    schema = dict(published.definitions[published.names["TokenRequest"]])
    of_metadata = ("apiVersion", "kind", "metadata")
    schema["properties"] = {name: each for name, each in schema["properties"].items() if name not in of_metadata}
    schema["$defs"] = {name: published.definitions[published.names[name]] for name in _SCHEMAS}
    definition = {
        "spec": {
            "group": _KIND.group,
            "names": {"plural": ACCOUNTS, "singular": "", "kind": _KIND.kind},
            "scope": "Namespaced",
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}],
        },
        "x-kcp": {"verbs": ["create"], "storage": ""},
    }
    (made,) = from_definition(definition, strategy=TokenRequestStrategy(context), builtin=True)
    return made


class _Bound(NamedTuple):
    """The reference of a TokenRequest to the object that the token is bound to."""

    kind: str
    api_version: str
    name: str
    uid: str


def _check_lifetime(seconds: int) -> None:
    """Raise StatusError 422 for a lifetime that no token may have."""
    found = []
    if seconds < _LEAST_SECONDS:
        found.append("may not specify a duration less than 10 minutes")
    if seconds > _MOST_SECONDS:
        found.append("may not specify a duration larger than 2^32 seconds")
    if found:
        raise errors.invalid(_KIND, "", [field_errors.invalid("spec.expirationSeconds", seconds, why) for why in found])


def _account_of(obj: Object, context: RequestContext, issuer: TokenIssuer) -> Account:
    """Return the account in the path of the request. Raises StatusError 404."""
    meta = obj["metadata"]
    account = Account(context.cluster, meta["namespace"], meta["name"], "")
    found = issuer.objects.find_account(account)
    if found is None:
        raise errors.not_found(_ACCOUNTS, account.name)
    return account._replace(uid=found.object["metadata"]["uid"])


async def _bound(reference: Object, account: Account, issuer: TokenIssuer) -> Mapping[str, Reference]:
    """Return the objects that the token names. Raises StatusError 400, 404 or 409."""
    wanted = _Bound(*(text(reference, name) for name in ("kind", "apiVersion", "name", "uid")))
    try:
        group, version = GroupVersion.parse(wanted.api_version)
    except ValueError:
        group, version = wanted.api_version, ""
    claim = _BINDABLE.get(wanted.kind) if not group else None
    if claim is None:
        shown = f"{group}/{version}, Kind={wanted.kind}"
        raise errors.bad_request(f"cannot bind token to object of type {shown}")
    obj = await _object(claim, wanted.name, account, issuer)
    uid = obj["metadata"]["uid"]
    if wanted.uid and wanted.uid != uid:
        why = (
            f"the UID in the bound object reference ({wanted.uid}) does not match the UID in record. "
            "The object might have been deleted and then recreated"
        )
        raise errors.conflict(GroupResource(group, wanted.kind), wanted.name, why)
    found = {claim: Reference(wanted.name, uid)}
    if claim == "pod":
        found.update(await _node_of(obj, account, issuer))
    return found


async def _node_of(pod: Object, account: Account, issuer: TokenIssuer) -> Mapping[str, Reference]:
    """Return the node of a Pod of the account, where it runs on one that exists. Raises StatusError 400."""
    of_pod = text(mapping(pod, "spec"), "serviceAccountName")
    if of_pod != account.name:
        raise errors.bad_request(
            f'cannot bind token for serviceaccount "{account.name}" to pod running with different serviceaccount name.'
        )
    name = text(mapping(pod, "spec"), "nodeName")
    if not name:
        return {}
    try:
        node = await _object("node", name, account, issuer)
    except errors.StatusError:
        return {}
    return {"node": Reference(name, node["metadata"]["uid"])}


async def _object(claim: str, name: str, account: Account, issuer: TokenIssuer) -> dict[str, Any]:
    plural = PLURALS[claim]
    type_ = await issuer.objects.type_of(plural, account.cluster)
    found = type_ and issuer.objects.find(type_, account.cluster, account.namespace, name)
    if not found:
        raise errors.not_found(GroupResource("", plural), name)
    return found.object
