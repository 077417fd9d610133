"""The settings of a simulated cluster: its nodes, how fast its Pods become ready, and which never do."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a simulated cluster is like. Durations are in seconds; quantities are those of Kubernetes (``8``, ``500m``, ``32Gi``).

    ``failing_images`` are patterns (``*`` and ``?``) of images that cannot be pulled. Without ``makes_pods``, workloads report
    ready copies without ReplicaSets and Pods, whatever the capacity: for tests with many workloads.
    """

    name: str
    nodes: int = 1
    cpu: str = "8"
    memory: str = "32Gi"
    pods_per_node: int = 110
    readiness_delay: float = 0.0
    job_duration: float = 0.0
    failing_images: tuple[str, ...] = ()
    makes_pods: bool = True

    def can_pull(self, image: str) -> bool:
        """Return whether an image can be pulled."""
        return not any(fnmatchcase(image, pattern) for pattern in self.failing_images)
