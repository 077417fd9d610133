"""The revisioned log: contract, backends, watch hub, compaction. Knows keys, revisions and bytes, not Kubernetes."""
