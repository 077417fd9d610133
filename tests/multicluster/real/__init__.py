"""Workloads of kcp on Kubernetes itself: its API server, controllers and scheduler are processes.

Skipped unless ``KCP_TEST_KUBERNETES`` names a folder with these programs, which ``contrib/kubernetes/build`` builds.
"""
