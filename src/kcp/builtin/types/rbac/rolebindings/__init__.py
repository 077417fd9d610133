"""RoleBindings (rbac.authorization.k8s.io/v1)."""

from __future__ import annotations

from typing import ClassVar

from kcp.builtin.types.rbac.bindings import BindingStrategy


class RoleBindingStrategy(BindingStrategy):
    """RoleBindings."""

    plural: ClassVar[str] = "rolebindings"
    namespaced: ClassVar[bool] = True
