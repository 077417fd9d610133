"""Roles (rbac.authorization.k8s.io/v1)."""

from __future__ import annotations

from collections.abc import Collection
from typing import ClassVar

from kcp.builtin.types.rbac.default_objects import DefaultNames
from kcp.builtin.types.rbac.policy_rules import PolicyRulesStrategy


class RoleStrategy(PolicyRulesStrategy):
    """Roles."""

    plural: ClassVar[str] = "roles"
    namespaced: ClassVar[bool] = True
    virtual_names: ClassVar[Collection[str]] = DefaultNames("roles")
