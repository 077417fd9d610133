"""Parse one kubeconfig file into typed entries. Follows clientcmd's v1 Config: a duplicate name is an error."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, TypeVar

from kcp.api import yaml_documents
from kcp.api.yaml_input import YAMLError
from kcp.client.configuration import Impersonation
from kcp.client.credentials.exec_plugins import ExecConfiguration
from kcp.client.errors import ConfigurationError
from kcp.client.kubeconfig.entries import Cluster, Context, Kubeconfig, KubeconfigUser, Origin
from kcp.client.kubeconfig.fields import Fields

Entry = TypeVar("Entry")

EXEC_VERSIONS: Final = ("client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1")
_INTERACTIVE_MODES: Final = ("Never", "IfAvailable", "Always")
_EXEC_EXTENSION: Final = "client.authentication.k8s.io/exec"
_MAX_SIZE: Final = 16 * 1024 * 1024
_MAX_DEPTH: Final = 64
_ANCHOR: Final = re.compile(r"anchor '.*'", re.DOTALL)


def read_file(path: Path) -> Kubeconfig:
    """Read a file. Raises ConfigurationError; FileNotFoundError if it does not exist."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot read the kubeconfig: {error.strerror}") from error
    return parse(content, path)


def parse(content: bytes, path: Path) -> Kubeconfig:
    """Parse a kubeconfig in YAML or JSON. ``path`` appears in messages and is the base of relative paths."""
    try:
        document, _ = yaml_documents.load(content, max_depth=_MAX_DEPTH, max_size=_MAX_SIZE)
    except YAMLError as error:
        problem = _ANCHOR.sub("anchor", str(error))  # a password that begins with * is read as the name of an anchor
        raise ConfigurationError(f"{path}: not a YAML document: {problem}") from None
    fields = Fields(document, Origin(path, "the kubeconfig"))
    kind, version = fields.text("kind"), fields.text("apiVersion")
    if kind not in ("", "Config") or version not in ("", "v1"):
        raise ConfigurationError(f"{path}: not a kubeconfig: expected kind Config of v1")
    return Kubeconfig(
        clusters=_entries(fields, path, "cluster", _cluster),
        users=_entries(fields, path, "user", _user),
        contexts=_entries(fields, path, "context", _context),
        current_context=fields.text("current-context"),
        files=(path,),
    )


def _entries(fields: Fields, path: Path, kind: str, read: Callable[[Fields, Origin], Entry]) -> Mapping[str, Entry]:
    found: dict[str, Entry] = {}
    for item in fields.children(f"{kind}s"):
        name = item.text("name")
        origin = Origin(path, f'{kind} "{name}"')
        if name in found:
            raise ConfigurationError(f"{origin} is there twice")
        found[name] = read(Fields(item.raw(kind), origin), origin)
    return found


def _cluster(fields: Fields, origin: Origin) -> Cluster:
    extensions = {extension.text("name"): extension.raw("extension") for extension in fields.children("extensions")}
    return Cluster(
        origin=origin,
        server=fields.text("server"),
        tls_server_name=fields.text("tls-server-name"),
        insecure_skip_tls_verify=fields.flag("insecure-skip-tls-verify"),
        certificate_authority=fields.file("certificate-authority"),
        certificate_authority_data=fields.data("certificate-authority-data"),
        proxy_url=fields.text("proxy-url"),
        disable_compression=fields.flag("disable-compression"),
        exec_extension=extensions.get(_EXEC_EXTENSION),
    )


def _user(fields: Fields, origin: Origin) -> KubeconfigUser:
    return KubeconfigUser(
        origin=origin,
        client_certificate=fields.file("client-certificate"),
        client_certificate_data=fields.data("client-certificate-data"),
        client_key=fields.file("client-key"),
        client_key_data=fields.data("client-key-data"),
        token=fields.header("token"),
        token_file=fields.file("tokenFile"),
        username=fields.text("username"),
        password=fields.text("password"),
        impersonation=_impersonation(fields),
        exec=_exec(fields.child("exec"), origin) if fields.has("exec") else None,
        auth_provider=fields.child("auth-provider").text("name"),
    )


def _impersonation(fields: Fields) -> Impersonation | None:
    user, groups, uid = fields.header("as"), fields.texts("as-groups"), fields.header("as-uid")
    extra = fields.child("as-user-extra")
    if not user:
        if groups or uid or extra.items():
            raise fields.error("as", "is required with as-groups, as-uid and as-user-extra")
        return None
    return Impersonation(user, groups, uid, {key: extra.texts(key) for key in extra.items()})


def _exec(fields: Fields, origin: Origin) -> ExecConfiguration:
    version = fields.required("apiVersion")
    if version not in EXEC_VERSIONS:
        raise fields.error("apiVersion", f"must be one of {', '.join(EXEC_VERSIONS)}")
    mode = fields.text("interactiveMode") or "IfAvailable"
    if mode not in _INTERACTIVE_MODES:
        raise fields.error("interactiveMode", f"must be one of {', '.join(_INTERACTIVE_MODES)}")
    command = fields.required("command")
    if "/" in command:  # other commands are found in PATH
        command = str(origin.resolve(command))
    return ExecConfiguration(
        api_version=version,
        command=command,
        arguments=fields.texts("args"),
        environment={variable.required("name"): variable.text("value") for variable in fields.children("env")},
        install_hint=fields.text("installHint"),
        provide_cluster_info=fields.flag("provideClusterInfo"),
        interactive_mode=mode,
    )


def _context(fields: Fields, origin: Origin) -> Context:
    return Context(origin, fields.text("cluster"), fields.text("user"), fields.text("namespace"))
