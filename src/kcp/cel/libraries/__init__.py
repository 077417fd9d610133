"""The function libraries: tables of overloads with their implementations.

Which there are, and in which version, is what Kubernetes 1.37 enables (k8s.io/apiserver/pkg/cel/environment).
"""

from functools import cache

from kcp.cel.declarations import Functions


@cache
def functions() -> Functions:
    """Every function that an expression may call."""
    from kcp.cel.libraries import (
        formats,
        lists,
        net,
        optionals,
        quantities,
        regex,
        semver,
        sets,
        standard,
        strings,
        urls,
    )

    declared = Functions()
    for library in (standard, strings, regex, optionals, lists, sets, urls, quantities, net, semver, formats):
        declared.add(library.ROWS)
        declared.add(getattr(library, "NAMESPACED", ()), namespaced=True)
    return declared
