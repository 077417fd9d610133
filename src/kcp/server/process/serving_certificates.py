"""The certificates of the TLS layer while the server runs: changed files, and renewed certificates of its own.

The HTTP server reads certificates at its start only, so a change replaces it by another one on the same socket (`listening`).
A pair of files that does not fit together, as between the writes of its halves, is logged, and the previous one stays in force.

The TLS layer ends the handshake of a client whose certificate it cannot verify. So a CA that is taken out of the bundle stays
there until the next start: the application refuses its certificates with a 401.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from kcp.auth import certificates
from kcp.auth.certificates import KeyPair
from kcp.server.process import identity
from kcp.server.process.configuration import Configuration
from kcp.server.process.errors import ConfigurationError
from kcp.server.process.identity import Identity
from kcp.server.process.reloading import INTERVAL, ReloadedFiles

logger: Final = logging.getLogger("kcp.server")


def _utc() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


class ServingCertificates:
    """The serving certificate and the CAs of client certificates that are in force."""

    def __init__(
        self,
        configuration: Configuration,
        found: Identity,
        replace_server: Callable[[], Awaitable[None]],
        on_replaced: Callable[[KeyPair], None],
        now: Callable[[], dt.datetime] = _utc,
    ) -> None:
        """``replace_server`` makes the HTTP server read the files; then ``on_replaced`` gets the new serving certificate."""
        self._configuration = configuration
        self._identity = found
        self._replace_server = replace_server
        self._on_replaced = on_replaced
        self._administrator = found.administrator
        self._serving = self._next_serving = found.serving
        accepted = identity.accepted_authorities(configuration, found.client_authority_bundles)
        self._authorities = self._next_authorities = certificates.merged(accepted)
        self._changed = asyncio.Event()
        self._problems: set[str] = set()
        """The problems that have been logged since certificates were last put in force or renewed."""
        self.now = now

    def add_to(self, files: ReloadedFiles) -> None:
        """Have the files reloaded when they change."""
        for path in identity.serving_files(self._configuration):
            files.add(path, self._reload_serving)
        configuration = self._configuration
        for bundle in (configuration.client_ca_file, configuration.authentication.front_proxy_ca_file):
            if bundle is not None:
                files.add(bundle, self._reload_authorities)

    def _reload_serving(self) -> None:
        self._next_serving = identity.load_serving(self._configuration)
        self._wake()

    def _reload_authorities(self) -> None:
        own, *_ = self._identity.client_authority_bundles
        bundles = identity.client_authority_bundles(own, self._configuration.client_ca_file)
        accepted = identity.accepted_authorities(self._configuration, bundles)
        self._next_authorities = certificates.merged((self._authorities, *accepted))
        self._wake()

    def _wake(self) -> None:
        if (self._next_serving, self._next_authorities) != (self._serving, self._authorities):
            self._changed.set()

    async def follow(self, interval: float = INTERVAL) -> None:
        """Put changes in force and renew certificates, until cancelled."""
        while True:
            try:
                await asyncio.wait_for(self._changed.wait(), interval)
            except TimeoutError:
                self._wake()  # certificates that could not be used are tried again
            await self.renew()
            if self._changed.is_set():
                self._changed.clear()
                await self._put_in_force()

    async def renew(self) -> None:
        """Renew the certificates that the server has issued to itself and the administrator, where it is time."""
        now = self.now()
        if self._due() > now:
            return
        try:
            serving, self._administrator = await asyncio.to_thread(identity.renew, self._configuration, now)
        except (ConfigurationError, OSError) as error:
            self._report(f"cannot renew the server's certificates: {error}")
            return
        self._problems.clear()
        if serving is not None:
            self._next_serving = serving
            self._wake()

    def _due(self) -> dt.datetime:
        issued = [self._administrator]
        if self._configuration.tls_cert_file is None:
            issued.append(self._next_serving)
        return min(certificates.renewal_time(pair.certificate) for pair in issued)

    async def _put_in_force(self) -> None:
        serving, authorities = self._next_serving, self._next_authorities
        try:
            identity.write_client_authorities(self._identity, authorities)
            await self._replace_server()
        except Exception as error:  # the TLS library or the disk may refuse anything: the present server goes on
            self._report(f"cannot use the changed certificates, the previous ones stay in force: {error}")
            return
        self._serving, self._authorities = serving, authorities
        self._problems.clear()
        logger.info("the serving certificate expires at %s", certificates.expiration(serving.certificate).isoformat())
        try:
            self._on_replaced(serving)
        except OSError as error:
            logger.error("the changed certificates are in force, but not in the administrator's kubeconfig: %s", error)

    def _report(self, problem: str) -> None:
        """Log a problem, which every further attempt may have, once."""
        if problem not in self._problems:
            self._problems.add(problem)
            logger.error("%s", problem)
