"""Role-based access control (rbac.authorization.k8s.io/v1), per logical cluster.

A role is compiled once for each content (`roles`). The bindings of a logical cluster are an index from a subject to what is
bound to it (`bindings`). The permissions of a logical cluster (`permissions`) put both together with the default roles and
bindings (`default_policy`); they are read from the log when a request first needs them, and follow it (`policies`). `authorizer`
decides, and `escalation` keeps users from granting what they do not have.
"""
