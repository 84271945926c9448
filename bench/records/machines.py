"""Kinds of machine: speed can only be compared on machines of one kind."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, ValidationError

from bench.records.record import Record


class MachineKind(BaseModel):
    """What machines must have in common for their speed to be compared."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cpu_model: str | None
    cpu_cores: int | None
    gpus: tuple[str, ...] = ()

    def __str__(self) -> str:
        cores = "an unknown number of cores" if self.cpu_cores is None else f"{self.cpu_cores} cores"
        return ", ".join([self.cpu_model or "unknown CPU", cores, *self.gpus])


def machine_kind(record: Record) -> MachineKind | None:
    """The kind of machine of a record; None if it is unknown."""
    machine = record.environment.get("machine")
    if not isinstance(machine, dict):
        return None
    gpus = machine.get("gpus")
    names = [str(gpu.get("name")) for gpu in gpus if isinstance(gpu, dict)] if isinstance(gpus, list) else []
    cpu_model, cpu_cores = machine.get("cpu_model"), machine.get("cpu_cores_allowed")
    try:
        return MachineKind(cpu_model=cpu_model, cpu_cores=cpu_cores, gpus=tuple(names))
    except ValidationError:  # the environment has no schema, and a record may come from anywhere
        return None
