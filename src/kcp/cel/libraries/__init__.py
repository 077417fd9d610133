"""Function libraries, one module each: the libraries and versions that Kubernetes 1.37 enables.

Source: k8s.io/apiserver/pkg/cel/environment.
"""

from functools import cache

from kcp.cel.declarations import Functions


@cache
def functions() -> Functions:
    """The functions of all libraries."""
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
