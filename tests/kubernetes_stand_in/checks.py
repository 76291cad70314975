"""What a real API server would not take: by Kubernetes' schema, and by the rules that are in no schema."""

from __future__ import annotations

import re
from decimal import Decimal

import kubernetes_validate

from .store import Json, Problem

SCHEMA = "1.31"
"""Of the oldest Kubernetes that is still looked after."""
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_VALUE = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]{0,61})?[A-Za-z0-9])?")
_LABEL = re.compile(r"([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_QUANTITY = re.compile(r"\d+(\.\d+)?(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?")
_FACTORS = {"m": "0.001", "k": "1e3", "M": "1e6", "G": "1e9", "T": "1e12"} | {
    f"{unit}i": str(1 << 10 * power) for power, unit in enumerate("KMGTPE", start=1)
}


def quantity(text: str) -> Decimal:
    """Raises Problem."""
    found = _QUANTITY.fullmatch(str(text))
    require(found is not None, f"quantities must match the regular expression: {text!r}")
    digits = str(text).rstrip("mkMGTPEi")
    return Decimal(digits) * Decimal(_FACTORS.get(str(text)[len(digits) :], "1"))


def require(holds: bool, otherwise: str) -> None:
    """Raises Problem 422."""
    if not holds:
        raise Problem(422, "Invalid", otherwise)


def check(told: Json) -> None:
    """Raises Problem where a real server would refuse it."""
    try:
        kubernetes_validate.validate(told, SCHEMA, strict=True)
    except kubernetes_validate.ValidationError as fault:
        raise Problem(400, "BadRequest", f"strict decoding error: {fault.message}") from fault
    metadata = told["metadata"]
    require(len(metadata["name"]) <= 253 and bool(_NAME.fullmatch(metadata["name"])), "metadata.name: invalid")
    _check_labels(metadata.get("labels", {}))
    if told["kind"] == "Job":
        _check_job(told)


def _check_labels(labels: Json) -> None:
    for name, value in labels.items():
        require(bool(_LABEL.fullmatch(name)), f"metadata.labels: {name!r}: name part must consist of alphanumerics")
        require(
            bool(_VALUE.fullmatch(value)), f"metadata.labels: {value!r}: a valid label must consist of alphanumerics"
        )


def _check_job(told: Json) -> None:
    spec = told["spec"]
    template = spec["template"]
    require(len(told["metadata"]["name"]) <= 63, "metadata.name: must be no more than 63 characters")
    for name in ("backoffLimit", "completions", "parallelism", "ttlSecondsAfterFinished"):
        require(spec.get(name, 0) >= 0, f"spec.{name}: must be greater than or equal to 0")
    require(spec.get("podReplacementPolicy", "Failed") in ("Failed", "TerminatingOrFailed"), "podReplacementPolicy")
    require(
        template["spec"].get("restartPolicy") in ("Never", "OnFailure"), "spec.template.spec.restartPolicy: required"
    )
    _check_labels(template["metadata"].get("labels", {}))
    _check_pod(template["spec"])


def _check_pod(spec: Json) -> None:
    require(spec.get("activeDeadlineSeconds", 1) >= 1, "activeDeadlineSeconds: must be between 1 and 2147483647")
    volumes = {each["name"] for each in spec.get("volumes", ())}
    for each in spec.get("tolerations", ()):
        require(each.get("operator") != "Exists" or "value" not in each, "tolerations: value must be empty")
    for container in spec["containers"]:
        require(bool(container.get("image")), "spec.containers[0].image: Required value")
        mounts = container.get("volumeMounts", ())
        paths = [each["mountPath"] for each in mounts]
        require(len(set(paths)) == len(paths), "mountPath: must be unique")
        for each in mounts:
            require(each["name"] in volumes, f"volumeMounts: not found: {each['name']!r}")
            path = each.get("subPath", "")
            require(not path.startswith("/") and ".." not in path.split("/"), "subPath: must be a relative path")
        _check_resources(container.get("resources", {}))


def _check_resources(resources: Json) -> None:
    limits, requests = resources.get("limits", {}), resources.get("requests", {})
    for name, text in (*limits.items(), *requests.items()):
        amount = quantity(text)
        if "/" in name:
            require(amount == int(amount), f"{name}: must be an integer")
            require(quantity(limits.get(name, "0")) == quantity(requests.get(name, limits.get(name, "0"))),
                    f"{name}: must be equal to {name} limit")  # fmt: skip
    for name, text in requests.items():
        require(name not in limits or quantity(text) <= quantity(limits[name]), f"{name}: must be less than or equal")


def against_restricted(spec: Json) -> str:
    """Why the restricted pod security standard forbids a pod; empty where it does not."""
    pod = spec.get("securityContext", {})
    faults = ["hostPath volumes" for each in spec.get("volumes", ()) if "hostPath" in each]
    if not pod.get("runAsNonRoot") or pod.get("runAsUser") == 0:
        faults.append("runAsNonRoot != true")
    if pod.get("seccompProfile", {}).get("type") not in ("RuntimeDefault", "Localhost"):
        faults.append("seccompProfile")
    for container in spec["containers"]:
        own = container.get("securityContext", {})
        if own.get("allowPrivilegeEscalation") is not False:
            faults.append("allowPrivilegeEscalation != false")
        if "ALL" not in own.get("capabilities", {}).get("drop", ()):
            faults.append("unrestricted capabilities")
    return f'violates PodSecurity "restricted:latest": {", ".join(faults)}' if faults else ""
