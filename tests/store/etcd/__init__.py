"""Behaviour of the etcd backend beyond the contract of every backend."""
