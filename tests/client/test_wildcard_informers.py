"""One informer over all logical clusters: one watch, and keys that say the logical cluster."""

from __future__ import annotations

from kcp.client import Client, Informers, ObjectKey
from kcp.logical_clusters import parse_name
from kcp.testing import Server
from tests.client.conftest import AuthenticatingServer
from tests.client.resources import CONFIG_MAPS
from tests.support.waiting import eventually


def fresh(server: Server) -> tuple[str, str]:
    return server.logical_cluster().name, server.logical_cluster().name


async def test_objects_of_equal_names_in_two_logical_clusters_are_two(
    client: Client, authenticating_server: AuthenticatingServer
) -> None:
    one, two = fresh(authenticating_server.server)
    for name in (one, two):
        body = {"metadata": {"name": "wild", "labels": {"wild": "yes"}}, "data": {"cluster": name}}
        await client.logical_cluster(name).resource(CONFIG_MAPS).create(body)
    async with Informers(client.logical_cluster("*")) as informers:
        informer = informers.informer(CONFIG_MAPS, label_selector="wild")
        await informer.synchronized()
        for name in (one, two):
            found = informer.cache.get(ObjectKey(parse_name(name), "default", "wild"))
            assert found is not None
            assert found.decode()["data"] == {"cluster": name}
        await client.logical_cluster(one).resource(CONFIG_MAPS).delete("wild")
        await eventually(
            lambda: informer.cache.get(ObjectKey(parse_name(one), "default", "wild")) is None, "it is gone"
        )
        assert informer.cache.get(ObjectKey(parse_name(two), "default", "wild")) is not None


async def test_a_logical_cluster_that_comes_later_is_followed_by_the_same_watch(
    client: Client, authenticating_server: AuthenticatingServer
) -> None:
    async with Informers(client.logical_cluster("*")) as informers:
        informer = informers.informer(CONFIG_MAPS, label_selector="later")
        await informer.synchronized()
        name, _ = fresh(authenticating_server.server)
        body = {"metadata": {"name": "a", "labels": {"later": "yes"}}}
        await client.logical_cluster(name).resource(CONFIG_MAPS).create(body)
        await eventually(lambda: informer.cache.get(ObjectKey(parse_name(name), "default", "a")), "it is followed")


async def test_an_informer_of_one_logical_cluster_has_keys_with_its_name(client: Client) -> None:
    await client.resource(CONFIG_MAPS).create({"metadata": {"name": "a"}})
    async with Informers(client) as informers:
        informer = informers.informer(CONFIG_MAPS)
        await informer.synchronized()
        assert informer.cache.get(ObjectKey(client.cluster, "default", "a")) is not None
