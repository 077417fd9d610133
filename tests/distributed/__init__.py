"""Several servers over one etcd cluster, and what survives when some of them are killed."""
