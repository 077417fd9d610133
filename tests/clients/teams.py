"""A logical cluster with the namespace ``team`` and the type Widget, and users who hold just the roles of a file."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from tests.clients.pods import Pod
from tests.service_accounts.conftest import Tenant
from tests.support.running_server import RunningServer
from tests.support.waiting import wait_until

NAMESPACE: Final = "team"
ACCOUNT: Final = {"kind": "ServiceAccount", "name": "bot", "namespace": NAMESPACE}
JANE: Final = {"kind": "User", "name": "jane", "apiGroup": "rbac.authorization.k8s.io"}
"""A user of the server's token file."""

_ROLES: Final = Path(__file__).with_name("roles")
_WIDGETS: Final = Path(__file__).parents[2] / "examples" / "1-first-crd" / "crd.yaml"
_RBAC: Final = "rbac.authorization.k8s.io"

Object = dict[str, Any]


@dataclass(frozen=True)
class Team:
    """What the administrator of the logical cluster does for a team and its programs."""

    tenant: Tenant

    @classmethod
    def founded(cls, tenant: Tenant) -> Team:
        """Create the namespace, the account ``bot`` and the definition of Widgets."""
        team = cls(tenant)
        team.create("/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
        tenant.create("serviceaccounts", ACCOUNT["name"], NAMESPACE)
        team.define(yaml.safe_load(_WIDGETS.read_text()))
        return team

    @property
    def server(self) -> RunningServer:
        return self.tenant.server

    def path(self, plural: str, name: str = "", group: str = "example.com/v1") -> str:
        """The path of a resource of the namespace."""
        prefix = f"/apis/{group}" if "/" in group else f"/api/{group}"
        return f"{prefix}/namespaces/{NAMESPACE}/{plural}" + (f"/{name}" if name else "")

    def create(self, path: str, body: Object) -> Object:
        """Create an object; the path is that of the collection in the logical cluster."""
        answer = self.server.post(self.tenant.prefix + path, body)
        assert answer.status == 201, answer.body
        created: Object = answer.json
        return created

    def read(self, path: str) -> Object:
        """Return what a path has."""
        answer = self.server.get(self.tenant.prefix + path)
        assert answer.status == 200, answer.body
        found: Object = answer.json
        return found

    def define(self, definition: Object) -> None:
        """Create a definition, and wait until its type is served."""
        path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
        self.create(path, definition)

        def established() -> bool:
            conditions = self.read(f"{path}/{definition['metadata']['name']}").get("status", {}).get("conditions", ())
            return any(each["type"] == "Established" and each["status"] == "True" for each in conditions)

        wait_until(established, f"{definition['metadata']['name']} is established")

    def grant(self, roles: str, subject: Object = ACCOUNT, without: str = "") -> None:
        """Create the roles of a file and bind them to a subject; ``without`` is a verb and a resource that they then lack."""
        for kind, name in self.add_roles(roles, without):
            self.bind(kind, name, subject, namespaced=kind == "Role")

    def add_roles(self, roles: str, without: str = "") -> list[tuple[str, str]]:
        """Create the roles of a file; return their kinds and names."""
        added = []
        for number, role in enumerate(roles_of(roles, without)):
            name = f"{roles}-{number}" if number else roles
            body = {"metadata": {"name": name, "labels": role.get("labels", {})}, "rules": role["rules"]}
            self._rbac(f"{role['kind'].lower()}s", body)
            added.append((role["kind"], name))
        return added

    def bind(self, kind: str, name: str, subject: Object, *, namespaced: bool = True) -> None:
        """Bind a role to a subject, in the namespace or everywhere."""
        body = {
            "metadata": {"name": name},
            "roleRef": {"apiGroup": _RBAC, "kind": kind, "name": name},
            "subjects": [subject],
        }
        self._rbac("rolebindings" if namespaced else "clusterrolebindings", body)

    def _rbac(self, plural: str, body: Object) -> None:
        prefix = "" if plural.startswith("cluster") else f"namespaces/{NAMESPACE}/"
        self.create(f"/apis/{_RBAC}/v1/{prefix}{plural}", body)

    def pod(self, home: Path) -> Pod:
        """A Pod of the account ``bot``."""
        trust = self.read(self.path("configmaps", "kube-root-ca.crt", group="v1"))["data"]["ca.crt"]
        token = self.tenant.token(ACCOUNT["name"], NAMESPACE)
        return Pod.made(home, self.server.port, token, trust, NAMESPACE)

    def kubeconfig(self, path: Path, token: str) -> Path:
        """Write a kubeconfig for the holder of a token, whose namespace is that of the team."""
        cluster = {
            "server": f"https://127.0.0.1:{self.server.port}{self.tenant.prefix}",
            "certificate-authority": str(self.server.process.configuration.root_directory / "data" / "ca.crt"),
        }
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "team", "cluster": cluster}],
            "users": [{"name": "user", "user": {"token": token}}],
            "contexts": [{"name": "team", "context": {"cluster": "team", "user": "user", "namespace": NAMESPACE}}],
            "current-context": "team",
        }
        path.write_text(json.dumps(content))
        return path


def roles_of(name: str, without: str = "") -> list[Object]:
    """Return the roles of a file, less a verb and a resource (``list widgets``) in each rule."""
    roles: list[Object] = yaml.safe_load((_ROLES / f"{name}.yaml").read_text())
    if without:
        verb, resource = without.split()
        concerned = [rule for role in roles for rule in role["rules"] if resource in rule.get("resources", ())]
        assert any(verb in rule["verbs"] for rule in concerned), f"{name} has no rule to {without}"
        for rule in concerned:
            rule["verbs"] = [each for each in rule["verbs"] if each != verb]
        for role in roles:
            role["rules"] = [rule for rule in role["rules"] if rule["verbs"]]
    return roles


def refusal(missing: str, group: str = "", *, user: str = "", everywhere: bool = False) -> str:
    """Return the message, from the user on, with which Kubernetes refuses a verb and a resource (``list widgets``)."""
    verb, resource = missing.split()
    user = user or f"system:serviceaccount:{NAMESPACE}:{ACCOUNT['name']}"
    where = "at the cluster scope" if everywhere else f'in the namespace "{NAMESPACE}"'
    return f'User "{user}" cannot {verb} resource "{resource}" in API group "{group}" {where}'
