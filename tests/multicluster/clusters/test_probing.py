"""What is asked of a cluster at each check, and what only sometimes."""

from __future__ import annotations

import asyncio

from kcp.multicluster.clusters.shared_clients import SharedClients
from tests.client.scripted_servers import scripted
from tests.multicluster.clusters.test_hostile_clusters import answering

NODE = {"metadata": {"name": "a"}, "status": {"capacity": {"cpu": "4"}}}
NODES = {"kind": "NodeList", "metadata": {}, "items": [NODE, NODE]}


async def test_nodes_are_read_again_after_five_minutes() -> None:
    async with scripted(answering(nodes=NODES)) as server:
        clients, configuration = SharedClients(), server.configuration(retries=0)
        async with clients.using("digest", configuration) as shared:
            began = asyncio.get_running_loop().time()
            for seconds, nodes in ((0, 1), (60, 1), (299, 1), (301, 2)):
                facts = (await shared.facts(began + seconds)).value
                assert facts.capacity == {"cpu": "8"}
                assert sum("/nodes" in each for each in server.requests) == nodes
            assert sum("/version" in each for each in server.requests) == 4
