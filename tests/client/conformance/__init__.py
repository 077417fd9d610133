"""What the client does against any API server: kcp, and another one that is given.

    pytest tests/client/conformance --api-server-kubeconfig ~/.kube/config [--api-server-context NAME]
    pytest tests/client/conformance --api-server https://host:6443 --api-server-token TOKEN --api-server-ca ca.crt

runs it against that server: in a namespace of its own, which it deletes, and with a CustomResourceDefinition of its own.
"""
