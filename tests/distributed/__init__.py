"""Several servers over one etcd cluster, some of which are killed."""
