"""The log in an etcd v3 cluster that any number of servers share."""
