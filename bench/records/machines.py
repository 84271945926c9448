"""The kind of machine that a record comes from: what decides how fast the same code is."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, ValidationError

from bench.records.record import Record


class MachineKind(BaseModel):
    """What machines must have in common for their speed to be compared. It names no machine."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cpu_model: str | None
    cpu_cores: int | None
    gpus: tuple[str, ...] = ()

    def __str__(self) -> str:
        cores = "an unknown number of cores" if self.cpu_cores is None else f"{self.cpu_cores} cores"
        return ", ".join([self.cpu_model or "unknown CPU", cores, *self.gpus])


def machine_kind(record: Record) -> MachineKind | None:
    """The kind of machine that a record comes from; None: it does not say."""
    machine = record.environment.get("machine")
    if not isinstance(machine, dict):
        return None
    gpus = machine.get("gpus")
    names = [str(gpu.get("name")) for gpu in gpus if isinstance(gpu, dict)] if isinstance(gpus, list) else []
    cpu_model, cpu_cores = machine.get("cpu_model"), machine.get("cpu_cores_allowed")
    try:
        return MachineKind(cpu_model=cpu_model, cpu_cores=cpu_cores, gpus=tuple(names))
    except ValidationError:  # an environment is free in form, and a record may come from anywhere
        return None
