"""RoleBindings (rbac.authorization.k8s.io/v1)."""

from __future__ import annotations

from collections.abc import Collection
from typing import ClassVar

from kcp.builtin.types.rbac.bindings import BindingStrategy
from kcp.builtin.types.rbac.default_objects import DefaultNames


class RoleBindingStrategy(BindingStrategy):
    """RoleBindings."""

    plural: ClassVar[str] = "rolebindings"
    namespaced: ClassVar[bool] = True
    virtual_names: ClassVar[Collection[str]] = DefaultNames("rolebindings")
