"""`Engine` on a Kubernetes cluster: a Job of one pod for each run of a task, and in the pod the shim of every engine.

Jobs and pods are listed once and then watched, all of the site together. What they say is a hint: a task has begun,
runs and has ended as the disk says that agent and pods share. The cluster is asked for nothing a task; it says why one
waits, what it has ended for its own sake, and which Jobs have to be made again. Their names follow from the tasks, so a
Job whose making was never answered is made once more, and refused where it is there.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

import structlog

from suanmesh_agent.domain.tasks import Capabilities, TaskKey, TaskLook, TaskSpec, TaskState
from suanmesh_agent.engines.kubernetes import listing
from suanmesh_agent.engines.kubernetes.api import Cluster, ClusterRefused, ClusterSilent, Json
from suanmesh_agent.engines.kubernetes.feed import Feed
from suanmesh_agent.engines.kubernetes.handed import Handed, HandedTasks
from suanmesh_agent.engines.kubernetes.jobs import JOB, Pods, job, job_name, key_in, needs_of, selector
from suanmesh_agent.engines.process.layout import Layout
from suanmesh_agent.engines.queued import Node, QueuedTasks
from suanmesh_agent.ports import TaskNotStarted
from suanmesh_kernel.clock import Clock
from suanmesh_kernel.reasons import StateReason

log = structlog.get_logger()

AT_ONCE = 16
"""Jobs that are made at the same time."""
UNSEEN_S = 10.0
"""A Job that was made so long ago, and is not among those listed, is made again."""
SETTLE_S = 3.0
"""What the cluster says has ended is so long in coming over a shared disk at most."""
UNSURE_S = 30.0
"""A task whose shim has gone is lost, where the cluster does not say for so long why."""
TIMES_MAX = 10
AGAIN_S, AGAIN_S_MAX = 1.0, 60.0
"""Between two tries to hand over the same task; twice as long each time."""
STUCK_S = 60.0
"""A pod that is to go for so long without having gone is on a node of which nothing is heard: it has 30 s of grace."""
LINGERS_EVERY_S = 2.0
"""How often Jobs are looked for whose task has ended and whose pod has not."""
LEFT_TO_END_S = 10.0
"""A task that was told to end and runs on after that has its pod taken away."""
EVENTS_EVERY_S = 5.0


class KubernetesEngine(QueuedTasks):
    """`Engine`: the folders of `layout`, and what goes into tasks, lie on the volume that pods find at that path."""

    def __init__(self, layout: Layout, cluster: Cluster, site: str, clock: Clock, pods: Pods) -> None:
        super().__init__(layout, clock)
        self._cluster = cluster
        self.site = site
        self._pods = pods
        self._handed = HandedTasks(self._tasks)
        self._jobs = Feed(cluster, "jobs", selector(site))
        self._feed = Feed(cluster, "pods", selector(site))
        self._keeping: asyncio.Task[None] | None = None
        self._pod_of: dict[str, Json] = {}
        self._seen: dict[TaskKey, str] = {}
        self._due: dict[TaskKey, float] = {}
        self._making: set[TaskKey] = set()
        self._made_at: dict[TaskKey, float] = {}
        self._over_since: dict[TaskKey, float] = {}
        self._unsure: dict[TaskKey, float] = {}
        self._lost: set[TaskKey] = set()
        self._unwanted: dict[TaskKey, float] = {}
        self._refused: dict[str, str] = {}
        self._podless = False
        self._asked_events_at = float("-inf")
        self._acting: asyncio.Task[None] | None = None
        self._room = asyncio.Semaphore(AT_ONCE)

    def close(self) -> None:
        """As `Engine`."""
        super().close()
        for task in (self._acting, self._keeping):
            if task is not None:
                task.cancel()

    def capabilities(self) -> Capabilities:
        """As `Engine`. A pod shows its task nothing but what is its own, but its shim is not out of its reach."""
        return replace(super().capabilities(), as_root=False)

    async def nodes(self) -> list[Node]:
        """The nodes that pods are sent to. Raises ClusterSilent."""
        self._keep_up()
        try:
            nodes, _ = await self._cluster.listed("nodes", everywhere=True)
            pods = await self._pods_of_others()
        except ClusterRefused as refused:
            raise ClusterSilent(str(refused)) from refused
        shape = self._pods
        return listing.nodes_of(nodes, pods, self.site, shape.node_selector, shape.tolerations, shape.devices)

    async def _pods_of_others(self) -> list[Json]:
        """All that take something of nodes; none where this user may not know of them."""
        left = [("fieldSelector", "status.phase!=Succeeded,status.phase!=Failed")]
        try:
            return (await self._cluster.listed("pods", left, everywhere=True))[0]
        except ClusterRefused as refused:
            if refused.status != 403:
                raise
            return []

    def _keep_up(self) -> None:
        if self._keeping is None or self._keeping.done():
            self._keeping = asyncio.get_running_loop().create_task(self._kept())

    async def _kept(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for feed in (self._jobs, self._feed):
                    group.create_task(feed.run())
                group.create_task(self._end_lingering())
        finally:
            await self._cluster.close()

    async def _end_lingering(self) -> None:
        """Delete Jobs whose task has ended and whose pod has not, for what others have put into it beside the task."""
        while True:
            await asyncio.sleep(LINGERS_EVERY_S)
            for pod in [pod for pod in self._feed.objects.values() if listing.lingers(pod)]:
                name = pod["metadata"]["labels"].get(JOB, "")
                if await asyncio.to_thread(self._is_done_with, pod, name):
                    with suppress(ClusterSilent, ClusterRefused):  # it is tried again
                        await self._cluster.delete_job(name)

    def _is_done_with(self, pod: Json, name: str) -> bool:
        """Whether what has become of a task does not hang on its pod any more."""
        if (key := key_in(pod)) is None or not name:
            return False
        ended, times = self._tasks.look(key).state is TaskState.ENDED or key in self._lost, self._handed.times(key)
        return ended or not times or job_name(self.site, key, times) != name

    # -- handing over

    async def _hand_over_new(self, specs: Sequence[TaskSpec]) -> dict[TaskKey, TaskNotStarted]:
        self._keep_up()
        faults: dict[TaskKey, TaskNotStarted] = {}
        keys = []
        for spec in specs:
            try:
                await asyncio.to_thread(self._write_down, spec)
            except TaskNotStarted as fault:
                faults[spec.key] = fault
            else:
                keys.append(spec.key)
        refused = await self._make_all(keys)
        for key, why in refused.items():
            await asyncio.to_thread(self._handed.take_back, key)
            self._forget_waiting(key)
            self.start_fault = str(why)
        return faults | refused

    def _write_down(self, spec: TaskSpec) -> None:
        home = self._tasks.home(spec.key)
        self._handed.keep(spec.key, Handed(needs_of(spec, home, self._pods, self.layout.permission)))
        if os.geteuid() == 0 and self._pods.user:
            for folder, _, files in os.walk(home):
                for path in (folder, *(f"{folder}/{name}" for name in files)):
                    shutil.chown(path, self._pods.user, self._pods.group)

    async def _make_all(self, keys: Sequence[TaskKey]) -> dict[TaskKey, TaskNotStarted]:
        """Make their Jobs; why the cluster will never take some. It is told of the others again where it is silent."""
        async with asyncio.TaskGroup() as group:
            made = {key: group.create_task(self._make(key)) for key in keys}
        return {key: fault for key, each in made.items() if (fault := each.result()) is not None}

    async def _make(self, key: TaskKey) -> TaskNotStarted | None:
        handed = self._handed.of(key)
        if handed is None:
            return None
        self._making.add(key)
        self._due.pop(key, None)
        name = job_name(self.site, key, handed.times)
        try:
            async with self._room:
                return await self._made(key, name, handed)
        finally:
            self._making.discard(key)

    async def _made(self, key: TaskKey, name: str, handed: Handed) -> TaskNotStarted | None:
        if self._tasks.look(key).state is not TaskState.QUEUED:
            return None
        if self._jobs.fault:
            self._make_later(key, handed)
            return None
        try:
            try:
                await self._cluster.create_job(job(self.site, key, name, handed.needs, self._pods))
            except ClusterRefused as refused:
                if refused.status != 409 or refused.of_the_moment:
                    raise
                if key_in(await self._cluster.job(name)) != key:
                    return TaskNotStarted(f"there is a Job {name} of somebody else's")
        except ClusterSilent as silent:
            self._tell_silent(str(silent))
            self._make_later(key, handed)
        except ClusterRefused as refused:
            if not refused.over_quota and not refused.of_the_moment:
                return TaskNotStarted(f"the cluster does not take it: {refused}")
            if refused.over_quota:
                self._waits_for[key] = StateReason("QUEUE_LIMIT", {"said": str(refused)[: listing.SAID_MAX]})
            self._make_later(key, handed)
        else:
            self._made_at[key] = self._clock.monotonic()
        return None

    def _make_later(self, key: TaskKey, handed: Handed) -> None:
        self._due[key] = self._clock.monotonic() + min(AGAIN_S_MAX, AGAIN_S * 2 ** (handed.times - 1))

    def _tell_silent(self, said: str) -> None:
        words = f"Kubernetes does not answer: {said}"
        if not self.start_fault.startswith("Kubernetes does not answer"):
            log.warning("kubernetes does not answer", message=said)
        self.start_fault = words

    # -- what the cluster says

    def _is_busy(self) -> bool:
        return bool(self._followed or self._unwanted)

    @property
    def _heard(self) -> bool:
        """Whether what is known of Jobs and pods is how they stand."""
        return bool(self._jobs.listed and self._feed.listed) and not (self._jobs.fault or self._feed.fault)

    async def _mind_queue(self) -> None:
        self._keep_up()
        if fault := self._jobs.fault or self._feed.fault:
            self._tell_silent(fault)
            for key in self._queued():
                self._waits_for.pop(key, None)
            await self._settle_lost()
            return
        if not self._heard:
            return
        self._pod_of = {}
        pods = [*self._feed.left.values(), *self._feed.objects.values()]
        for pod in sorted(pods, key=lambda each: str(each["metadata"]["creationTimestamp"])):
            self._pod_of[pod["metadata"]["labels"].get(JOB, "")] = pod
        held = ""
        for key in self._queued():
            held = await self._judge(key) or held
        self.start_fault = held
        await self._settle_lost()
        if self._acting is None or self._acting.done():
            self._acting = asyncio.get_running_loop().create_task(self._act())

    async def _judge(self, key: TaskKey) -> str:
        """What is to be done for a task that waits; what is wrong at the site, where that is why."""
        handed = await asyncio.to_thread(self._handed.of, key)
        if handed is None or key in self._making or key in self._due:
            return ""
        name, now = job_name(self.site, key, handed.times), self._clock.monotonic()
        found, pod = self._jobs.objects.get(name), self._pod_of.get(name)
        if found is None and self._seen.get(key) != name:
            if now - self._made_at.get(key, float("-inf")) >= UNSEEN_S:
                self._due[key] = now
        elif (over := found is None or listing.is_over(found) or listing.is_done(pod)) or listing.is_leaving(pod):
            if now - self._over_since.setdefault(key, now) >= (SETTLE_S if over else STUCK_S):
                return await self._ended_unbegun(key, handed, found, pod)
        else:
            self._seen[key] = name
            refused = listing.suspended(found) or self._refused.get(name, "")
            self._waits_for[key] = listing.waits_for(pod, refused)
            self._podless = self._podless or pod is None
        return listing.held_up(pod)

    async def _ended_unbegun(self, key: TaskKey, handed: Handed, found: Json | None, pod: Json | None) -> str:
        """Its Job is over, or gone, and the task has not begun: it is handed over again unless somebody meant it."""
        self._over_since.pop(key, None)
        if found is None or ("deletionTimestamp" in found["metadata"] and not listing.is_done(pod)):
            await self._end_unstarted(key, "SITE_STOPPED")
            return ""
        said = listing.trouble(pod, found)
        log.warning("task handed over again", placement=f"placements/{key.placement}", item=key.name, message=said)
        if handed.times >= TIMES_MAX:
            await self._end_unstarted(key, "TASK_NOT_STARTED")
            return said or "pods of tasks end before these have begun"
        await asyncio.to_thread(self._handed.keep, key, handed.again())
        self._make_later(key, handed)
        return said

    async def _act(self) -> None:
        """Make what is to be made again, and take out what is not wanted any more; nothing waits for that."""
        now = self._clock.monotonic()
        if self._podless and now - self._asked_events_at >= EVENTS_EVERY_S:
            self._asked_events_at, self._podless = now, False
            await self._ask_for_refusals()
        async with asyncio.TaskGroup() as group:
            for key in [key for key, at in self._due.items() if at <= now and key in self._followed]:
                group.create_task(self._make_again(key))
            for key in [key for key, at in self._unwanted.items() if at <= now]:
                group.create_task(self._take_out(key))

    async def _ask_for_refusals(self) -> None:
        """Why Jobs have no pods: asked once for all of them."""
        about = [("fieldSelector", "involvedObject.kind=Job,reason=FailedCreate")]
        try:
            events, _ = await self._cluster.listed("events", about)
        except (ClusterSilent, ClusterRefused):  # it is only why
            return
        self._refused = listing.refusals(events)

    async def mounts_refused(self, name: str) -> str:
        """Why the pod of a Job does not get its folders, as the cluster last said; empty where it has not."""
        about = [("fieldSelector", "involvedObject.kind=Pod,reason=FailedMount")]
        try:
            events, _ = await self._cluster.listed("events", about)
        except (ClusterSilent, ClusterRefused):
            return ""
        found = listing.refusals(events)
        return next((said for pod, said in found.items() if pod.startswith(f"{name}-")), "")

    async def take_away(self, key: TaskKey) -> None:
        """Delete its Job at once, rather than when it has been kept for long; a cluster that is away keeps it."""
        if (handed := self._handed.of(key)) is not None:
            with suppress(ClusterSilent, ClusterRefused):
                await self._cluster.delete_job(job_name(self.site, key, handed.times))

    async def _make_again(self, key: TaskKey) -> None:
        fault = await self._make(key)
        if fault is not None:
            self.start_fault = str(fault)
            await self._end_unstarted(key, "TASK_NOT_STARTED")

    def _take_out_of_queue(self, key: TaskKey, look: TaskLook) -> None:
        self._keep_up()
        if look.over and look.start_time is None:
            self._unwanted[key] = self._clock.monotonic()
        elif not look.over:
            self._unwanted[key] = self._clock.monotonic() + LEFT_TO_END_S

    async def _take_out(self, key: TaskKey) -> None:
        look, handed = self._tasks.look(key), self._handed.of(key)
        if handed is not None and (look.start_time is None or not look.over):
            try:
                await self._cluster.delete_job(job_name(self.site, key, handed.times))
            except ClusterSilent as silent:
                self._tell_silent(str(silent))
                self._unwanted[key] = self._clock.monotonic() + AGAIN_S
                return
            except ClusterRefused as refused:
                log.warning("job not deleted", item=key.name, message=str(refused))
        self._unwanted.pop(key, None)
        self._let_go(key)

    # -- tasks whose shim has gone without a word

    def _look(self, key: TaskKey) -> TaskLook:
        """A task is not lost before the cluster has had its say."""
        look = super()._look(key)
        if look.state is not TaskState.LOST or key in self._lost:
            return look
        self._unsure.setdefault(key, self._clock.monotonic())
        return replace(look, state=TaskState.RUNNING)

    async def _settle_lost(self) -> None:
        now = self._clock.monotonic()
        for key, since in list(self._unsure.items()):
            handed = await asyncio.to_thread(self._handed.of, key)
            pod = self._pod_of.get(job_name(self.site, key, handed.times)) if handed else None
            known = self._heard and (pod is None or listing.is_done(pod))
            if now - since < (SETTLE_S if known else UNSURE_S):
                continue
            if self._unsure.pop(key, None) is None:
                continue  # let go while we read
            said = listing.ended_by(pod) if self._heard else ""
            if said:
                await asyncio.to_thread(self._tasks.end_in_its_stead, key, said)
            else:
                self._lost.add(key)

    # -- what is kept in mind

    def _forget_waiting(self, key: TaskKey) -> None:
        for each in (self._waits_for, self._due, self._made_at, self._over_since, self._seen):
            each.pop(key, None)

    def _let_go(self, key: TaskKey) -> None:
        self._forget_waiting(key)
        self._handed.let_go(key)
        self._unsure.pop(key, None)
        self._lost.discard(key)
