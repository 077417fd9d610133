"""Faults of many clusters: a recorder writes what happens on both sides into a history, and a checker judges it.

Each test runs kcp, a simulated cluster and a cluster controller with the syncers as processes of their own, or several kcp
servers over one etcd that run the controller themselves. It injects one fault while users write, and ends when both sides agree.
With ``KCP_FAULT_SECONDS=120`` links are cut for longer.
"""
