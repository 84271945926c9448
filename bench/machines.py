"""The kind of machine that a record comes from: what decides how fast the same code is."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from bench.record import Record


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
    return MachineKind(
        cpu_model=machine.get("cpu_model"),
        cpu_cores=machine.get("cpu_cores_allowed"),
        gpus=tuple(str(gpu.get("name")) for gpu in machine.get("gpus") or ()),
    )
