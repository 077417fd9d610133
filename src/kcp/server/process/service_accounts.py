"""The service accounts of a server: keys, issuer and authenticator, from its configuration and its log."""

from __future__ import annotations

from dataclasses import dataclass

from kcp.auth.service_accounts import key_ring
from kcp.auth.service_accounts.authenticator import ServiceAccountTokens
from kcp.auth.service_accounts.bound_objects import BoundObjects
from kcp.auth.service_accounts.issuer import DEFAULT_ISSUER, IssuerOptions, TokenIssuer
from kcp.auth.service_accounts.key_ring import KeyFileError, KeyFiles, KeyRing
from kcp.server.process.configuration import Configuration, ConfigurationError
from kcp.server.process.reloading import ReloadedFiles
from kcp.store.contract import Store


@dataclass(frozen=True, slots=True)
class ServiceAccounts:
    """What issues and accepts the tokens of service accounts."""

    issuer: TokenIssuer
    tokens: ServiceAccountTokens


def issuer_options(configuration: Configuration) -> IssuerOptions:
    """Return the names and limits of a server's issuer."""
    issuers = configuration.service_account_issuer or (DEFAULT_ISSUER,)
    longest = configuration.service_account_max_token_expiration
    return IssuerOptions(
        issuers=issuers,
        api_audiences=configuration.api_audiences or issuers,
        longest=int(longest) or None,
        extend=configuration.service_account_extend_token_expiration,
    )


async def open_service_accounts(configuration: Configuration, store: Store, files: ReloadedFiles) -> ServiceAccounts:
    """Read the keys, of which the first server of a log generates one. Raises ConfigurationError, StoreUnavailableError."""
    paths = KeyFiles(configuration.service_account_signing_key_file, configuration.service_account_key_file)
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
    options, objects = issuer_options(configuration), BoundObjects()
    tokens = ServiceAccountTokens(store, objects, ring, options.issuers, options.api_audiences)
    return ServiceAccounts(TokenIssuer(options, ring, objects), tokens)
