"""Where the syncer of a Cluster runs: in this process (push), in the cluster (pull), or wherever somebody starts it (none)."""
