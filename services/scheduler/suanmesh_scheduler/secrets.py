"""Secrets of jobs: checked as they come, kept sealed until the job has ended, sealed anew for the site that runs it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from suanmesh.scheduler.v1 import job_pb2, placement_pb2, secret_pb2
from suanmesh.scheduler.v1 import scheduler_service_pb2 as pb
from suanmesh_kernel.clock import Clock
from suanmesh_kernel.refusals import FailedPrecondition, InvalidArgument, invalid_field
from suanmesh_scheduler.sealing_keys import FILE, SealingKeys
from suanmesh_sdk import sealing


class Secrets:
    """What the scheduler does with them: values pass through its memory, and are kept nowhere."""

    def __init__(self, keys: SealingKeys) -> None:
        self._keys = keys

    def key(self) -> secret_pb2.SealingKey:
        """What secrets are sealed for now."""
        return self._keys.current()

    def checked(self, job: job_pb2.Job, given: Sequence[secret_pb2.SealedSecret]) -> secret_pb2.JobSecrets:
        """The secrets of a new job in its order, each of which can be opened.

        Raises FailedPrecondition (`SECRETS_MISSING`), InvalidArgument (`SECRET_UNREADABLE`, `FIELD_INVALID`).
        """
        by_name = {each.name: each for each in given}
        names = [secret.name for secret in job.secrets]
        if missing := [name for name in names if name not in by_name]:
            raise _missing(job.name, missing)
        if len(given) != len(names):
            raise invalid_field("secrets", f"{len(given)} values came for {len(names)} secrets that the job names")
        sizes = 0
        for secret in job.secrets:
            value = self._opened(job.name, by_name[secret.name])
            sizes += len(value)
            if secret.variable and not _is_text(value):
                raise invalid_field("secrets", f"{secret.name} is no text, and cannot be a variable")
        if sizes > sealing.VALUES_BYTES_MAX:
            raise invalid_field("secrets", f"hold {sizes} bytes, at most {sealing.VALUES_BYTES_MAX} go with a job")
        return secret_pb2.JobSecrets(secrets=[by_name[name] for name in names])

    def resealed(
        self, placement: placement_pb2.Placement, kept: secret_pb2.JobSecrets, public_key: bytes
    ) -> pb.FetchSecretsResponse:
        """Those of a placement, for the agent of its site.

        Raises FailedPrecondition (`SECRETS_MISSING`), InvalidArgument (`FIELD_INVALID`, `SECRET_UNREADABLE`).
        """
        if len(public_key) != sealing.KEY_BYTES:
            raise invalid_field("public_key", f"has {len(public_key)} bytes, an X25519 key has {sealing.KEY_BYTES}")
        by_name = {each.name: each for each in kept.secrets}
        wanted = [secret.name for secret in placement.work.secrets]
        if missing := [name for name in wanted if name not in by_name]:
            raise _missing(placement.job, missing)
        answer = pb.FetchSecretsResponse()
        for name in wanted:
            value = self._opened(placement.job, by_name[name])
            purpose = sealing.for_placement(placement.name, placement.site, name)
            try:
                answer.secrets.add(name=name, sealed=sealing.sealed(value, public_key, purpose))
            except ValueError as fault:  # a point of small order
                raise invalid_field("public_key", "is no key") from fault
        return answer

    def _opened(self, job: str, secret: secret_pb2.SealedSecret) -> bytes:
        key = self._keys.key(secret.key_id)
        try:
            if key is not None:
                return sealing.opened(secret.sealed, key, sealing.for_job(job, secret.name))
        except sealing.Unreadable:
            pass
        problem = f"secret {secret.name}: cannot be opened with key {secret.key_id!r} as one of {job}"
        raise InvalidArgument("SECRET_UNREADABLE", problem, name=secret.name)


def open_secrets(file: str, folder: Path, clock: Clock) -> Secrets:
    """With the keys in `file`, else in their own file of the data folder."""
    return Secrets(SealingKeys(Path(file) if file else folder / FILE, clock))


def _is_text(value: bytes) -> bool:
    try:
        return "\0" not in value.decode()
    except UnicodeDecodeError:
        return False


def _missing(job: str, names: Sequence[str]) -> FailedPrecondition:
    listed = ", ".join(names)
    return FailedPrecondition("SECRETS_MISSING", f"{job}: no value of {listed} is there", name=job, names=listed)
