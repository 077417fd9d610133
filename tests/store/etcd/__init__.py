"""What the etcd backend does beyond what every backend promises."""
