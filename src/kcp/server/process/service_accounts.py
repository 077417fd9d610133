"""The service accounts of a server: keys, issuer and authenticator, from its configuration and its log."""

from __future__ import annotations

from typing import NamedTuple

from kcp.auth.service_accounts import key_ring
from kcp.auth.service_accounts.authenticator import ServiceAccountTokens
from kcp.auth.service_accounts.bound_objects import BoundObjects
from kcp.auth.service_accounts.issuer import DEFAULT_ISSUER, IssuerOptions, TokenIssuer
from kcp.auth.service_accounts.key_ring import KeyFileError, KeyFiles, KeyRing
from kcp.server.process.errors import ConfigurationError
from kcp.server.process.reloading import ReloadedFiles
from kcp.server.process.service_account_options import ServiceAccountOptions
from kcp.store.contract import Store


class ServiceAccounts(NamedTuple):
    """What issues and accepts the tokens of service accounts."""

    issuer: TokenIssuer
    tokens: ServiceAccountTokens


def issuer_options(options: ServiceAccountOptions) -> IssuerOptions:
    """Return the names and limits of a server's issuer."""
    issuers = options.issuers or (DEFAULT_ISSUER,)
    return IssuerOptions(
        issuers=issuers,
        api_audiences=options.api_audiences or issuers,
        longest=int(options.max_token_expiration) or None,
        extend=options.extend_token_expiration,
    )


async def open_service_accounts(options: ServiceAccountOptions, store: Store, files: ReloadedFiles) -> ServiceAccounts:
    """Read the keys, of which the first server of a log generates one. Raises ConfigurationError, StoreUnavailableError."""
    paths = KeyFiles(options.signing_key_file, options.key_files)
    if paths.signing is None:
        await key_ring.ensure(store)
    try:
        ring = KeyRing(store, paths)
    except KeyFileError as error:
        raise ConfigurationError(str(error)) from error

    def reload() -> None:
        try:
            ring.reload()
        except KeyFileError as error:
            raise ConfigurationError(str(error)) from error

    for path in (*paths.verifying, *((paths.signing,) if paths.signing is not None else ())):
        files.add(path, reload)
    names, objects = issuer_options(options), BoundObjects()
    tokens = ServiceAccountTokens(store, objects, ring, names.issuers, names.api_audiences)
    return ServiceAccounts(TokenIssuer(names, ring, objects), tokens)
