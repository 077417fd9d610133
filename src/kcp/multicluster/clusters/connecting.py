"""The steps that connect a Cluster: kubeconfig, client, facts, APIs, syncer. The first that fails is the reason of ``Ready``."""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Final

from kcp.client import Client, ClientConfiguration, ClientError, ConfigurationError, NotFoundError, StatusError
from kcp.multicluster.clusters import offers
from kcp.multicluster.clusters.api import NAMESPACES, SECRETS, ConditionType, Reason
from kcp.multicluster.clusters.kubeconfigs import configuration_of, secrets_of
from kcp.multicluster.clusters.messages import Secrets
from kcp.multicluster.clusters.modes.contract import Registration, SyncerMode
from kcp.multicluster.clusters.offers import Imports, Offer
from kcp.multicluster.clusters.ownership import owner_reference
from kcp.multicluster.clusters.records import ClusterRecord, SecretKey
from kcp.multicluster.clusters.sessions import Session, digest_of
from kcp.multicluster.conditions import Condition
from kcp.multicluster.crd_puller import UnknownResourceError
from kcp.multicluster.negotiation import Imported, record_offered
from kcp.multicluster.placement import IDENTITY_NAMESPACE
from kcp.schema.raw_schemas import text

_SHOWN: Final = 10
"""Resources that a message names."""


class StepError(Exception):
    """A step failed: the reason of the condition, and its message."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@asynccontextmanager
async def _step(reason: Reason, prefix: str, secrets: Secrets) -> AsyncIterator[None]:
    """Raise the failure of a step as a StepError."""
    try:
        yield
    except StepError:
        raise
    except (ClientError, StatusError, UnknownResourceError) as error:
        raise StepError(reason, f"{prefix}: {secrets.described(error)}") from error


@asynccontextmanager
async def limited(seconds: float, cluster: str) -> AsyncIterator[None]:
    """Raise a StepError where what is done with a cluster takes longer than ``seconds``."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        message = f"Cluster {cluster} answers too slowly: this was not done within {seconds:g} s"
        raise StepError(Reason.CLUSTER_UNREACHABLE, message) from None


async def read_kubeconfig(record: ClusterRecord, upstream: Client) -> tuple[str, str]:
    """Return the kubeconfig of a Cluster, and the version of the Secret that has it (empty: it is in the Cluster).

    Raises StepError, and StatusError and ClientError of kcp.
    """
    if record.secret is None:
        return record.kubeconfig, ""
    return await _read_secret(record.secret, upstream)


async def _read_secret(key: SecretKey, upstream: Client) -> tuple[str, str]:
    where = f"Secret {key.namespace}/{key.name}"
    try:
        secret = await upstream.resource(SECRETS, key.namespace).get(key.name)
    except NotFoundError as error:
        raise StepError(Reason.INVALID_KUBECONFIG, f"Invalid kubeconfig: {where} does not exist") from error
    data = (secret.get("data") or {}).get(key.key)
    if not data:
        raise StepError(Reason.INVALID_KUBECONFIG, f'Invalid kubeconfig: {where} has no key "{key.key}"')
    try:
        return base64.b64decode(data, validate=True).decode(), text(secret["metadata"], "resourceVersion")
    except (binascii.Error, UnicodeDecodeError):
        raise StepError(Reason.INVALID_KUBECONFIG, f'Invalid kubeconfig: {where}: "{key.key}" is not text') from None


async def connect(record: ClusterRecord, session: Session, upstream: Client) -> Registration:
    """Connect to the Kubernetes cluster of a Cluster, and find the facts about it. Raises StepError.

    What other Clusters of the same kubeconfig have asked since this check became due is not asked again.
    """
    digest, configuration, secrets = await _configuration(record, session, upstream)
    async with _step(Reason.ERROR_CREATING_CLIENT, "Error creating client from kubeconfig", secrets):
        shared = await session.connection.connect(digest, configuration)
    session.connection.secrets = secrets
    async with _step(Reason.CLUSTER_UNREACHABLE, f"Error reaching cluster {record.name}", secrets):
        answer = await shared.facts(session.schedule.asked)
    await _check_is_another(answer.value.uid, session, upstream)
    session.found.facts, session.schedule.answered = answer.value, answer.began
    return Registration(
        record.key, record.uid, session.connection.digest, configuration, upstream, shared.client, secrets
    )


async def _check_is_another(uid: str, session: Session, upstream: Client) -> None:
    """Check that a cluster is not the logical cluster itself, whose objects would be copied without end. Raises StepError."""
    if not session.found.home:
        session.found.home = await uid_of_logical_cluster(upstream)
    if uid == session.found.home:
        message = (
            f"Invalid kubeconfig: it is that of kcp's logical cluster {session.key.cluster} itself (its namespace kube-system "
            f"has the UID {uid}): use the kubeconfig of the Kubernetes cluster"
        )
        raise StepError(Reason.INVALID_KUBECONFIG, message)


async def uid_of_logical_cluster(upstream: Client) -> str:
    """Return the UID of a logical cluster. Raises StatusError, ClientError."""
    return text((await upstream.resource(NAMESPACES).get(IDENTITY_NAMESPACE))["metadata"], "uid")


async def _configuration(
    record: ClusterRecord, session: Session, upstream: Client
) -> tuple[str, ClientConfiguration, Secrets]:
    """Return the digest, configuration and secrets of a Cluster's kubeconfig. Raises StepError."""
    configuration, secrets = session.connection.configuration, session.connection.secrets
    known = None if configuration is None or secrets is None else (session.connection.digest, configuration, secrets)
    if known is not None and session.connection.has_secret_of(record):
        return known
    kubeconfig, version = await read_kubeconfig(record, upstream)
    session.connection.secret = record.secret, version
    source = "spec.kubeconfig" if record.secret is None else f"Secret {record.secret.namespace}/{record.secret.name}"
    digest = digest_of(kubeconfig)
    if known is not None and session.connection.digest == digest:
        return known
    try:
        return digest, configuration_of(kubeconfig, source), secrets_of(kubeconfig, source)
    except ConfigurationError as error:
        raise StepError(Reason.INVALID_KUBECONFIG, f"Invalid kubeconfig: {error}") from error


async def import_resources(
    registration: Registration, session: Session, names: Sequence[str], known: Callable[[], Imports]
) -> None:
    """Record how the cluster serves resources, for negotiation, unless that is done and nothing has changed. Raises StepError.

    ``known`` returns the imports that the Cluster owns, from a cache.
    """
    owner = owner_reference(registration.name, registration.uid)
    prefix = f"Error pulling API Resource Schemas from cluster {registration.name}"
    async with _step(Reason.ERROR_PULLING_SCHEMAS, prefix, registration.secrets):
        shared = session.connection.shared
        assert shared is not None
        index = await shared.index(session.schedule.asked)
        offer = Offer(registration.digest, index, known())
        now = asyncio.get_running_loop().time()
        if offer.openapi and offer == session.imports.offer and now < session.imports.due:
            return
        session.imports.offer = None
        offered = await shared.offered(names)
        imported = await record_offered(offered, registration.upstream, registration.name, names, owner=owner)
        imports = await offers.read_imports(registration.upstream, registration.name, registration.uid)
    session.imports.condition = imported_condition(imported, registration.secrets)
    if not imported.skipped:  # else it is tried again at the next check
        session.imports.offer, session.imports.due = offer._replace(imports=imports), now + offers.INTERVAL


async def ensure_syncer(registration: Registration, session: Session, mode: SyncerMode) -> None:
    """Start, install or update the syncer. Raises StepError."""
    async with _step(Reason.ERROR_INSTALLING_SYNCER, "Error installing syncer", registration.secrets):
        session.found.syncer = await mode.ensure(registration)


def imported_condition(imported: Imported, secrets: Secrets) -> Condition:
    """Return the condition that says which resources could not be imported."""
    kind = ConditionType.APIS_IMPORTED
    problems = [f"{name}: {reason}" for name, reason in sorted(imported.skipped.items())]
    problems += [f"{name}: the cluster does not serve it" for name in imported.missing]
    if not problems:
        return Condition(kind, True, Reason.APIS_IMPORTED, "All resources are imported")
    more = f"; and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
    message = secrets.removed_from("; ".join(problems[:_SHOWN]))
    return Condition(kind, False, Reason.NOT_ALL_IMPORTED, message + more)
