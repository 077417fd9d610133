"""Random histories of both sides, with caches that lag: nothing is wrongly deleted, and in the end both sides agree.

The decisions are the real ones; the servers and caches are a model: a cache shows the state of some earlier moment, a read the
present one, and a syncer may be killed after any step.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace

from hypothesis import given, settings
from hypothesis import strategies as st

from kcp.multicluster.syncer.decisions import Copy, Source, State, Step, decide
from kcp.multicluster.syncer.ownership import Identity

IDENTITY = Identity("root", "lc-1", "east", "cluster-1")
PLACE = ("shop", "web")


@dataclass(frozen=True)
class Upstream:
    uid: str
    assigned: bool = True
    deleting: bool = False
    held: bool = False


@dataclass(frozen=True)
class Downstream:
    uid: str
    source_uid: str
    """The source of a copy; empty for an object of somebody else."""
    marked: bool = True


@dataclass
class Model:
    random: random.Random
    up: Upstream | None = None
    down: Downstream | None = None
    ups: list[Upstream | None] = field(default_factory=lambda: [None])
    downs: list[Downstream | None] = field(default_factory=lambda: [None])
    cached_up: int = 0
    cached_down: int = 0
    numbers: int = 0
    complete: bool = False

    def _uid(self) -> str:
        self.numbers += 1
        return f"u-{self.numbers}"

    def set_up(self, up: Upstream | None) -> None:
        if up is not None and up.deleting and not up.held:
            up = None
        self.up = up
        self.ups.append(up)

    def set_down(self, down: Downstream | None) -> None:
        self.down = down
        self.downs.append(down)

    def user(self, action: str) -> None:
        up = self.up
        if action == "create" and up is None:
            self.set_up(Upstream(self._uid(), assigned=self.random.random() < 0.8))
        elif action == "delete" and up is not None:
            self.set_up(replace(up, deleting=True))
        elif action == "force" and up is not None and up.deleting:
            self.set_up(None)  # somebody removes the finalizer
        elif action == "label" and up is not None and not up.deleting:
            self.set_up(replace(up, assigned=not up.assigned))
        elif action == "local" and self.down is None:
            self.set_down(Downstream(self._uid(), "", marked=False))
        elif action == "remove" and self.down is not None:
            self.set_down(None)
        elif action == "unmark" and self.down is not None:
            self.set_down(replace(self.down, marked=False))
        elif action == "restart":
            self.complete = False
            self.cached_up, self.cached_down = (self.random.randrange(len(each)) for each in (self.ups, self.downs))
        elif action == "see":
            self.see()

    def see(self) -> None:
        """Let the caches come closer to the present. A cache of copies has only what is marked."""
        self.cached_up = self.random.randint(self.cached_up, len(self.ups) - 1)
        self.cached_down = self.random.randint(self.cached_down, len(self.downs) - 1)
        self.complete = True

    def see_all(self) -> None:
        self.cached_up, self.cached_down, self.complete = len(self.ups) - 1, len(self.downs) - 1, True

    def reconcile(self, steps: int) -> None:
        """Reconcile, and stop after some steps, as a syncer that is killed."""
        up = self.ups[self.cached_up]
        source = _source(up if up is not None and up.assigned else None)
        cached = self.downs[self.cached_down]
        copy, source_read, copy_read = _copy(cached if cached is not None and cached.marked else None), False, False
        for _ in range(steps):
            state = State(IDENTITY, PLACE, self.complete, source, source_read, copy, copy_read)
            step = decide(state)
            if step is Step.READ_SOURCE:
                source, source_read = _source(self.up), True
            elif step is Step.READ_COPY:
                copy, copy_read = _copy(self.down), True
            elif step is Step.HOLD:
                if self.up is None or source is None or self.up.uid != source.uid:
                    return  # a conflict
                self.set_up(replace(self.up, held=True))
                source = source._replace(held=True)
            else:
                self.write(step, source, copy)
                return

    def write(self, step: Step, source: Source | None, copy: Copy | None) -> None:
        """Apply a decision; as the servers do, refuse it if the object is another one by now."""
        if step is Step.APPLY:
            assert source is not None
            assert source.held, "a copy is made before its source is marked"
            if copy is None and self.down is None:
                self.set_down(Downstream(self._uid(), source.uid))
            elif copy is not None and self.down is not None and self.down.uid == copy.uid:
                assert self.down.source_uid == source.uid, "what is not a copy of this object is overwritten"
                self.set_down(replace(self.down, source_uid=source.uid, marked=True))
        elif step is Step.DELETE:
            assert copy is not None
            if self.down is None or self.down.uid != copy.uid or not self.down.marked:
                return
            assert self.down.source_uid, "an object of somebody else is deleted"
            self.set_down(None)
        elif step is Step.RELEASE and self.up is not None and source is not None and self.up.uid == source.uid:
            assert self.down is None or not (self.down.marked and self.down.source_uid), "a copy is left behind"
            self.set_up(replace(self.up, held=False))


def _source(up: Upstream | None) -> Source | None:
    return None if up is None else Source(up.uid, up.assigned, up.deleting, up.held)


def _copy(down: Downstream | None) -> Copy | None:
    if down is None:
        return None
    locator = IDENTITY.locator(*PLACE, down.source_uid) if down.source_uid else None
    return Copy(down.uid, down.marked, locator)


ACTIONS = st.sampled_from(
    ["create", "delete", "force", "label", "local", "remove", "unmark", "restart", "see", "see", "sync", "sync", "die"]
)


@settings(max_examples=300, deadline=None)
@given(st.lists(ACTIONS, min_size=20, max_size=60), st.integers(0, 2**32))
def test_after_any_history_both_sides_agree_and_nothing_is_wrongly_deleted(actions: list[str], seed: int) -> None:
    model = Model(random.Random(seed))
    for action in actions:
        wanted_before = model.up is not None and model.up.assigned and not model.up.deleting
        before = model.down
        if action in ("sync", "die"):
            model.reconcile(model.random.randint(1, 2) if action == "die" else 9)
            deleted = before is not None and model.down is None
            if deleted and wanted_before:
                assert model.up is not None
                assert before is not None
                assert before.source_uid != model.up.uid, "a wanted copy is deleted"
            if before is not None and not before.source_uid:
                assert model.down == before, "an object of somebody else is changed"
        else:
            model.user(action)
    for _ in range(6):
        model.see_all()
        model.reconcile(9)
    up, down = model.up, model.down
    if down is not None and not down.source_uid:
        return  # somebody else's: it stays
    if down is not None and not down.marked and (up is None or not up.assigned or up.uid != down.source_uid):
        return  # without the mark it is not deleted
    if up is not None and up.assigned and not up.deleting:
        assert down is not None
        assert down.source_uid == up.uid
        assert up.held
    else:
        assert down is None
        assert up is None or not up.deleting
