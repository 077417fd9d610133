"""Secrets of the type ``kubernetes.io/service-account-token``: filled in, and deleted with their account."""

from __future__ import annotations

import asyncio
import base64
import datetime as dt
import json
from typing import Any

from kcp.auth.service_accounts.bound_objects import BoundObjects
from kcp.auth.service_accounts.issuer import TokenIssuer
from kcp.auth.service_accounts.key_ring import KeyRing
from kcp.auth.service_accounts.legacy_tokens import INVALID_SINCE, LAST_USED, end_of_day
from kcp.controllers.account_secrets import NAME_ANNOTATION, TYPE, UID_ANNOTATION, TokenSecretController
from kcp.server.process.service_account_options import ServiceAccountOptions
from kcp.server.process.service_accounts import issuer_options
from kcp.store.contract import Change, Key
from tests.service_accounts.conftest import Tenant
from tests.service_accounts.signing import parts
from tests.support.registry_client import RegistryClient
from tests.support.waiting import wait_until


def add_token_secret(tenant: Tenant, account: str, name: str = "long", **annotations: str) -> None:
    tenant.create("secrets", name, annotations={NAME_ANNOTATION: account, **annotations}, type=TYPE)


def secret_with_token(tenant: Tenant, name: str = "long") -> Any:
    def filled() -> Any:
        answer = tenant.server.get(tenant.path("secrets", name)).json
        return answer if "token" in (answer.get("data") or {}) else None

    return wait_until(filled, f"the secret {name} has a token")


def data_of(secret: Any) -> dict[str, str]:
    return {key: base64.b64decode(value).decode() for key, value in secret["data"].items()}


def is_gone(tenant: Tenant, name: str = "long") -> bool:
    return tenant.server.get(tenant.path("secrets", name)).status == 404


def test_a_token_secret_is_filled_in(tenant: Tenant) -> None:
    account = tenant.create("serviceaccounts", "bob")
    add_token_secret(tenant, "bob")
    secret = secret_with_token(tenant)
    data = data_of(secret)
    identity = tenant.server.process.identity
    assert identity is not None
    assert (data["namespace"], data["ca.crt"]) == ("default", identity.trust.decode())
    assert secret["metadata"]["annotations"][UID_ANNOTATION] == account["metadata"]["uid"]
    prefix = "kubernetes.io/serviceaccount/"
    assert parts(data["token"])[1] == {
        "iss": "kubernetes/serviceaccount",
        "sub": "system:serviceaccount:default:bob",
        f"{prefix}namespace": "default",
        f"{prefix}secret.name": "long",
        f"{prefix}service-account.name": "bob",
        f"{prefix}service-account.uid": account["metadata"]["uid"],
        f"{prefix}clusterName": tenant.name,
    }


def test_its_token_is_the_account_until_the_secret_is_deleted(tenant: Tenant) -> None:
    tenant.create("serviceaccounts", "bob")
    add_token_secret(tenant, "bob")
    token = data_of(secret_with_token(tenant))["token"]
    answer = tenant.who(token)
    assert answer.status == 201
    assert answer.json["status"]["userInfo"]["username"] == "system:serviceaccount:default:bob"
    tenant.delete("secrets", "long")
    assert tenant.who(token).status == 401
    add_token_secret(tenant, "bob")
    secret_with_token(tenant)
    assert tenant.who(token).status == 401


def test_another_token_in_the_secret_ends_the_old_one(tenant: Tenant) -> None:
    tenant.create("serviceaccounts", "bob")
    add_token_secret(tenant, "bob")
    secret = secret_with_token(tenant)
    token = data_of(secret)["token"]
    assert tenant.who(token).status == 201
    secret["data"]["token"] = base64.b64encode(b"another").decode()
    del secret["metadata"]["resourceVersion"]  # the server has recorded the use of the token
    assert tenant.server.ask("PUT", tenant.path("secrets", "long"), secret).status == 200
    assert tenant.who(token).status == 401
    assert tenant.review(token)["error"] == "[invalid bearer token, token does not match server's copy]"


def test_a_secret_without_its_account_is_deleted(tenant: Tenant) -> None:
    add_token_secret(tenant, "nobody")
    wait_until(lambda: is_gone(tenant), "the secret is deleted")
    tenant.create("serviceaccounts", "bob")
    add_token_secret(tenant, "bob", "other", **{UID_ANNOTATION: "another"})
    wait_until(lambda: is_gone(tenant, "other"), "the secret of another account of the name is deleted")


def test_deleting_the_account_deletes_its_secrets_and_ends_their_tokens(tenant: Tenant) -> None:
    tenant.create("serviceaccounts", "bob")
    tenant.create("serviceaccounts", "eve")
    add_token_secret(tenant, "bob")
    add_token_secret(tenant, "eve", "kept")
    token = data_of(secret_with_token(tenant))["token"]
    kept = data_of(secret_with_token(tenant, "kept"))["token"]
    assert tenant.who(token).status == 201
    tenant.delete("serviceaccounts", "bob")
    assert tenant.who(token).status == 401
    wait_until(lambda: is_gone(tenant), "the secret is deleted")
    assert tenant.who(kept).status == 201
    assert not is_gone(tenant, "kept")


def test_a_secret_of_the_default_account_goes_with_its_deletion(tenant: Tenant) -> None:
    add_token_secret(tenant, "default")
    token = data_of(secret_with_token(tenant))["token"]
    assert tenant.who(token).status == 201
    tenant.delete("serviceaccounts", "default")
    assert tenant.who(token).status == 401
    wait_until(lambda: is_gone(tenant), "the secret of the old default account is deleted")


def label_of(tenant: Tenant, label: str) -> str | None:
    labels: dict[str, str] = tenant.server.get(tenant.path("secrets", "long")).json["metadata"].get("labels") or {}
    return labels.get(label)


def set_label(tenant: Tenant, label: str, value: str | None) -> None:
    body = json.dumps({"metadata": {"labels": {label: value}}}).encode()
    merge: Any = {"Content-Type": "application/merge-patch+json"}
    assert tenant.server.ask("PATCH", tenant.path("secrets", "long"), body, **merge).status == 200


def test_the_use_of_a_token_is_recorded_in_a_label_once_a_day(tenant: Tenant) -> None:
    tenant.create("serviceaccounts", "bob")
    add_token_secret(tenant, "bob")
    token = data_of(secret_with_token(tenant))["token"]
    assert label_of(tenant, LAST_USED) is None
    assert tenant.who(token).status == 201
    today = dt.datetime.now(dt.UTC).date()
    days = [(today + dt.timedelta(days=each)).isoformat() for each in (0, 1)]
    wait_until(lambda: label_of(tenant, LAST_USED) in days, "the use is recorded")
    written = tenant.server.get(tenant.path("secrets", "long")).json["metadata"]["resourceVersion"]
    assert tenant.who(token).status == 201
    set_label(tenant, LAST_USED, "2025-01-01")
    assert tenant.server.get(tenant.path("secrets", "long")).json["metadata"]["resourceVersion"] != written
    assert tenant.who(token).status == 201
    wait_until(lambda: label_of(tenant, LAST_USED) in days, "the use is recorded again")


def test_a_secret_that_is_marked_invalid_has_no_valid_token(tenant: Tenant) -> None:
    tenant.create("serviceaccounts", "bob")
    add_token_secret(tenant, "bob")
    token = data_of(secret_with_token(tenant))["token"]
    assert tenant.who(token).status == 201
    set_label(tenant, INVALID_SINCE, "2026-01-01")
    assert tenant.who(token).status == 401
    assert "has been marked invalid. Use tokens from the TokenRequest API" in tenant.review(token)["error"]
    set_label(tenant, INVALID_SINCE, None)
    assert tenant.who(token).status == 201


def test_a_use_counts_for_its_day_in_universal_time() -> None:
    midnight = dt.datetime(2026, 11, 28, tzinfo=dt.UTC).timestamp()
    assert end_of_day(midnight - 1) == midnight
    assert end_of_day(midnight) == midnight + 86_400


def test_cross_logical_cluster(tenant: Tenant) -> None:
    tenant.create("serviceaccounts", "bob")
    add_token_secret(tenant, "bob")
    token = data_of(secret_with_token(tenant))["token"]
    answer = tenant.server.get("/clusters/elsewhere/api/v1/namespaces", token=token)
    assert answer.status == 401


async def test_accounts_that_end_together_cause_one_scan_of_their_namespace(client: RegistryClient) -> None:
    accounts, store = client.type("serviceaccounts"), client.registry.store
    keys = [Key(accounts.storage, client.cluster, "default", f"bob-{number}") for number in range(20)]
    for key in keys:
        await client.create(accounts, {"metadata": {"name": key.name}})
    issuer = TokenIssuer(issuer_options(ServiceAccountOptions()), KeyRing(store), BoundObjects())
    controller = TokenSecretController(client.registry, issuer, "")
    scans: list[int] = []
    unfollow = store.follow(accounts.storage, lambda _: scans.append(sum(map(is_scan, asyncio.all_tasks()))))
    await store.write([Change(key, None) for key in keys])
    assert max(scans) == 1
    unfollow()
    await controller.stop()


def is_scan(task: asyncio.Task[Any]) -> bool:
    return task.get_name() == "scan for token secrets"
