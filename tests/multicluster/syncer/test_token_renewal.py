"""The token of a syncer in a cluster is renewed in its Secret before it expires, by the syncer itself."""

from __future__ import annotations

import base64
import time

import pytest

from kcp.client import Client, ClientConfiguration, ForbiddenError, NotFoundError
from kcp.multicluster.clusters import accounts
from kcp.multicluster.clusters.manifests import Syncer, Token, Upstream, secret_of
from kcp.multicluster.placement import CLUSTERS
from kcp.multicluster.syncer.token_renewal import TOKEN_EXPIRES_ANNOTATION, TOKEN_KEY, Claims, TokenRenewal, claims_of
from kcp.testing import Server
from tests.multicluster.syncer.definitions import Object
from tests.multicluster.syncer.world import CLUSTER, SECRETS, Side, World, account_of, prepare, two_sides

LIFETIME = 3600
NAMESPACE = "kcp-syncer"


async def install(world: World, server: Server) -> tuple[ClientConfiguration, Object]:
    """Make the account of the syncer, and the Secret with its token. Returns its configuration, and the Secret."""
    own, token, expires = await account_of(world, server, LIFETIME)
    made = Syncer(CLUSTER, world.identity.cluster_uid, "image", Upstream(own.server, own.certificate_authority), ())
    secret = secret_of(made, Token(token, expires, "uid"))
    secret["metadata"] |= {"name": "token", "namespace": NAMESPACE}
    await world.down.namespace(NAMESPACE)
    return own, await world.down.client.resource(SECRETS, NAMESPACE).create(secret)


def token_of(secret: Object) -> str:
    """The token in a Secret."""
    return base64.b64decode(secret["data"][TOKEN_KEY]).decode()


async def present(side: Side) -> Object:
    """The Secret as it is now."""
    return await side.client.resource(SECRETS, NAMESPACE).get("token")


async def test_a_token_is_renewed_after_two_thirds_of_its_lifetime(kcp_server: Server) -> None:
    async with two_sides(kcp_server) as (up, down):
        world = await prepare(up, down)
        configuration, secret = await install(world, kcp_server)
        claims = claims_of(token_of(secret))
        assert claims is not None
        assert (claims.namespace, claims.account) == (accounts.NAMESPACE, "kcp-syncer-east")
        assert claims.expires - claims.issued == LIFETIME
        now = time.time()
        async with Client(configuration) as syncer:
            renewal = TokenRenewal(syncer, down, (NAMESPACE, "token"), clock=lambda: now)
            assert await renewal.check() is False
            assert await present(world.down) == secret
            now = claims.issued + LIFETIME * 2 / 3
            assert await renewal.check() is True
        renewed = await present(world.down)
        assert token_of(renewed) != token_of(secret)
        assert renewed["data"]["kubeconfig"] == secret["data"]["kubeconfig"]
        assert TOKEN_EXPIRES_ANNOTATION in renewed["metadata"]["annotations"]
        again = claims_of(token_of(renewed))
        assert again is not None
        assert again.expires - again.issued == LIFETIME
        later = ClientConfiguration.with_token(
            configuration.server, token_of(renewed), certificate_authority=configuration.certificate_authority
        )
        async with Client(later) as syncer:
            assert (await syncer.resource(CLUSTERS).get(CLUSTER))["metadata"]["uid"] == world.identity.cluster_uid


async def test_a_token_that_was_renewed_meanwhile_is_left_alone(kcp_server: Server) -> None:
    async with two_sides(kcp_server) as (up, down):
        world = await prepare(up, down)
        configuration, secret = await install(world, kcp_server)
        async with Client(configuration) as syncer:
            renewal = _Overtaken(syncer, down, (NAMESPACE, "token"), clock=lambda: time.time() + LIFETIME)
            assert await renewal.check() is False
        assert token_of(await present(world.down)) == "new"
        assert token_of(secret) != "new"


class _Overtaken(TokenRenewal):
    """A renewal while which another one writes the Secret."""

    async def _issue(self, claims: Claims) -> tuple[str, str]:
        await self._secrets.patch("token", {"data": {TOKEN_KEY: base64.b64encode(b"new").decode()}})
        return await super()._issue(claims)


async def test_an_account_without_the_role_keeps_its_token(kcp_server: Server) -> None:
    async with two_sides(kcp_server) as (up, down):
        world = await prepare(up, down)
        configuration, secret = await install(world, kcp_server)
        for resource in (accounts.CLUSTER_ROLE_BINDINGS, accounts.CLUSTER_ROLES):
            await up.resource(resource).delete("kcp-syncer-east")
        async with Client(configuration) as syncer:
            renewal = TokenRenewal(syncer, down, (NAMESPACE, "token"), clock=lambda: time.time() + LIFETIME)
            with pytest.raises(ForbiddenError):
                await renewal.check()
            with pytest.raises(NotFoundError):
                await TokenRenewal(syncer, down, (NAMESPACE, "missing")).check()
        assert await present(world.down) == secret


@pytest.mark.parametrize(
    "claims",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b'{"sub": "system:serviceaccount:a:b"}',
        b'{"sub": "alice", "iat": 1, "exp": 2}',
        b'{"sub": "system:serviceaccount:a", "iat": 1, "exp": 2}',
        b'{"sub": "system:serviceaccount:a:b", "iat": "soon", "exp": 2}',
        b"\xff\xfe",
    ],
)
def test_what_is_no_token_of_an_account_is_not_renewed(claims: bytes) -> None:
    payload = base64.urlsafe_b64encode(claims).decode().rstrip("=")
    assert claims_of(f"head.{payload}.signature") is None
    assert claims_of(payload) is None
