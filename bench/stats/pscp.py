"""PSCP: one number for a score and what it costs (PEFT Soft Cost Penalties, Belanec et al., arXiv 2511.21285).

    PSCP = score * (1 + Mp / Cp)^-bp * (1 + Mf / Cf)^-bf * (1 + Mm / Cm)^-bm

with M the trainable parameters (p), the FLOPs of inference (f) and the peak memory of training (m). The constants C
and exponents b are a judgement on what costs matter, so a suite declares them and they are printed with the numbers.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class Penalty(BaseModel):
    """One cost's penalty. At a cost of `constant` the score is divided by 2^beta; beta = 0 ignores the cost."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    constant: float = Field(ge=1e-9)
    beta: float = Field(ge=0, le=100)

    def factor(self, cost: float) -> float:
        return float((1 + cost / self.constant) ** -self.beta)


class Pscp(BaseModel):
    """The constants. trainable_params: without the head. train_memory: peak, MiB. inference_flops: of one example."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    trainable_params: Penalty
    inference_flops: Penalty
    train_memory: Penalty

    def of(
        self,
        score: float | None,
        trainable_params: float | None,
        inference_flops: float | None,
        train_memory: float | None,
    ) -> float | None:
        """The penalised score; None where a cost or the score is unknown, or the score is negative.

        A penalty would make a negative score (of a correlation) better and not worse.
        """
        costs = ((self.trainable_params, trainable_params), (self.inference_flops, inference_flops),
                 (self.train_memory, train_memory))  # fmt: skip
        if score is None or score < 0:
            return None
        for penalty, cost in costs:
            if cost is None:
                return None
            score *= penalty.factor(cost)
        return score

    def __str__(self) -> str:
        """The constants in a line, to be printed with the numbers."""
        parts = {
            "trainable parameters": self.trainable_params,
            "inference FLOPs": self.inference_flops,
            "training memory (MiB)": self.train_memory,
        }
        return "; ".join(f"{name}: C = {each.constant:,.0f}, beta = {each.beta:g}" for name, each in parts.items())
