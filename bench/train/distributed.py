"""Several processes inside one cell, for models that need several GPUs: each takes its share of every batch.

The worker that runs a cell is rank 0. It starts the other ranks, which do as it does up to the end of the training, on
the same batches in the same order, and adds their gradients to its own through torch's DistributedDataParallel, which
accelerate sets up. Each rank divides the sum of its losses by the number of labels of the whole batch, and gradients
are summed and not averaged: so a step is that of one process on the whole batch, however uneven the shares are.
Rank 0 alone measures, evaluates and writes the record.
"""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any

from bench.grid import seeds
from bench.measure.memory import is_out_of_memory

if TYPE_CHECKING:
    from torch import Tensor, nn

    from bench.train.cell import Assignment
    from bench.train.data import Batch

HOST = "127.0.0.1"  # all ranks of a cell are on one machine
LIMIT = timedelta(hours=12)  # ranks wait for rank 0 while it validates; what may really take long is the cell's timeout
GRACE_SECONDS = 20.0  # for the ranks to end by themselves, and for rank 0 to notice that one is gone
POLL_SECONDS = 0.05
FOLLOWER = (
    "import pickle, sys; sys.path[:] = pickle.load(sys.stdin.buffer); import bench.train.distributed as d; d.follow()"
)


class RankFault(Exception):
    """A rank other than 0 has failed, and the cell with it."""


class Team:
    """The processes of a cell. This one: a process alone, whose share is everything."""

    rank = 0

    def __enter__(self) -> Team:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def seed(self, seed: int) -> int:
        """The seed of what this rank draws while training: dropout is another on each."""
        return seed

    def prepare(self, model: nn.Module, device: str) -> nn.Module:
        """The module to train in place of the model, once all ranks are there."""
        return model

    def share(self, batch: Batch) -> Batch:
        """This rank's examples of a batch; `scored` stays the whole batch's."""
        return batch

    def total(self, loss: Tensor) -> Tensor:
        """The sum of the ranks' parts of a loss."""
        return loss

    def apart(self, model: nn.Module) -> AbstractContextManager[None]:
        """The context of a backward pass that is not the step's last: gradients wait for it."""
        return nullcontext()


class Ranks(Team):
    """One of several processes.

    Args:
        rank, size: which of how many.
        store: where ranks find each other, a torch.distributed.Store.
        processes: the other ranks, if this one has started them.
    """

    def __init__(self, rank: int, size: int, store: Any, processes: list[subprocess.Popen[bytes]]) -> None:
        self.rank, self.size = rank, size
        self._store, self._processes = store, processes
        self._over = threading.Event()
        if processes:
            threading.Thread(target=self._watch, name="bench-ranks", daemon=True).start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        import torch.distributed

        self._over.set()
        if kind is None and torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
        faults = _ended(self._processes, patient=kind is None)
        if faults and (error is None or _is_broken_off(error)):
            # A rank that has failed takes the others along: what they say of a broken connection is not the reason.
            rank = next((rank for rank, fault in faults.items() if fault["own"]), min(faults))
            reason = f"rank {rank}: {faults[rank]['error']}"
            raise MemoryError(reason) if faults[rank]["oom"] else RankFault(reason) from error

    def seed(self, seed: int) -> int:
        return seeds.derive(seed, "rank", self.rank) if self.rank else seed

    def prepare(self, model: nn.Module, device: str) -> nn.Module:
        import torch.distributed

        self._meet()
        os.environ |= {
            "RANK": str(self.rank),
            "WORLD_SIZE": str(self.size),
            "LOCAL_RANK": str(self.rank),
            "LOCAL_WORLD_SIZE": str(self.size),
            # Where it is not set, accelerate sets torch's threads to what it thinks best; the profile has set them.
            "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(torch.get_num_threads())),
        }
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo0" if sys.platform == "darwin" else "lo")
        backend = "gloo" if device == "cpu" else "nccl"
        torch.distributed.init_process_group(
            backend, store=self._store, rank=self.rank, world_size=self.size, timeout=LIMIT
        )
        from accelerate import Accelerator, DistributedDataParallelKwargs

        accelerator = Accelerator(
            cpu=device == "cpu",
            mixed_precision="no",  # steps have their own autocast
            kwargs_handlers=[
                # A model may have trained parts that a task does not use, such as a pooler where tokens are labelled.
                DistributedDataParallelKwargs(broadcast_buffers=False, find_unused_parameters=True)
            ],
        )
        prepared = accelerator.prepare_model(model)
        # torch looks at a hook's annotations, which must be its own classes and not their names.
        prepared.register_comm_hook(None, lambda state, bucket: _summed(bucket))
        return prepared

    def share(self, batch: Batch) -> Batch:
        rows = slice(self.rank, None, self.size)
        count = len(range(self.rank, batch.examples, self.size))
        scored: float = batch.scored
        if count == 0:
            # Every rank takes part in every step: with an example that is another's, divided by infinity.
            rows, count, scored = slice(0, 1), 1, float("inf")
        inputs = {key: value[rows] for key, value in batch.inputs.items()}
        return replace(batch, inputs=inputs, labels=batch.labels[rows], examples=count, scored=scored)

    def total(self, loss: Tensor) -> Tensor:
        import torch.distributed

        torch.distributed.all_reduce(loss)
        return loss

    def apart(self, model: nn.Module) -> AbstractContextManager[None]:
        without: AbstractContextManager[None] = model.no_sync()  # type: ignore[operator]
        return without

    def _meet(self) -> None:
        """Wait until all ranks are ready; a rank that fails before is noticed here."""
        self._store.set(f"ready/{self.rank}", "")
        if not self._processes:
            self._store.wait(["go"], LIMIT)
            return
        waiting = [f"ready/{rank}" for rank in range(1, self.size)]
        while not self._store.check(waiting):
            if any(process.poll() is not None for process in self._processes):
                raise RankFault("a rank has ended before the training began")
            time.sleep(POLL_SECONDS)
        self._store.set("go", "")

    def _watch(self) -> None:
        """End this process where it does not notice that a rank is gone: the wait of a GPU for another has no end."""
        while not self._over.wait(1.0):
            if any(process.poll() for process in self._processes) and not self._over.wait(GRACE_SECONDS):
                print(f"bench: {_faults(self._processes)}; this rank waits for it in vain", file=sys.stderr, flush=True)
                os.kill(os.getpid(), signal.SIGKILL)


def team(assignment: Assignment) -> Team:
    """The processes of a cell as its profile wants them, the other ranks started. It is a context: they end with it."""
    size = assignment.cell.profile.processes
    if size == 1:
        return Team()
    from torch.distributed import TCPStore  # type: ignore[attr-defined]

    store = TCPStore(HOST, 0, is_master=True, wait_for_workers=False, timeout=LIMIT)
    processes = []
    for rank in range(1, size):
        process = subprocess.Popen(
            [sys.executable, "-P", "-c", FOLLOWER], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        processes.append(process)
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it shows as a rank that has ended
            pickle.dump(sys.path, process.stdin)
            pickle.dump((assignment, rank, size, store.port), process.stdin)
            process.stdin.flush()
    return Ranks(0, size, store, processes)


def follow() -> None:
    """A rank other than 0, from its start to its end: it reads what to do, trains along, and says what went wrong."""
    assignment, rank, size, port = pickle.load(sys.stdin.buffer)
    # Standard output is for the one message at the end; what plugins print goes where rank 0's goes.
    answer = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_rank_0, name="bench-rank-0", daemon=True).start()
    from bench.train import cell

    try:
        import torch
        from torch.distributed import TCPStore  # type: ignore[attr-defined]

        if assignment.cell.profile.device == "cuda":
            torch.cuda.set_device(rank)  # what "cuda" means from here on
        store = TCPStore(HOST, port, is_master=False, timeout=LIMIT)
        with Ranks(rank, size, store, []) as ranks:
            cell.follow(assignment, ranks)
    except Exception as error:  # noqa: BLE001 - whatever it is, rank 0 is told
        import traceback

        traceback.print_exc()
        reason = f"{type(error).__name__}: {error}".strip().splitlines()[0]
        own = not _is_broken_off(error)
        json.dump({"error": reason, "oom": is_out_of_memory(error), "own": own}, answer)
        answer.close()
        os._exit(1)  # without waiting for others, in whose collective calls it will not take part


def _end_with_rank_0() -> None:
    """Rank 0 holds the other end of standard input: its end is the end of this process, however it came."""
    while os.read(0, 1):  # not by sys.stdin, whose lock this thread would hold when the process ends well
        pass
    os._exit(1)


def _summed(bucket: Any) -> Any:
    """DistributedDataParallel's communication of gradients, without its division by the number of ranks."""
    import torch.distributed

    work = torch.distributed.all_reduce(bucket.buffer(), async_op=True)
    return work.get_future().then(lambda done: done.value()[0])


def _is_broken_off(error: BaseException) -> bool:
    """Whether an error may be that another rank is gone: torch has plain RuntimeErrors for that, too."""
    from torch.distributed import DistError

    return isinstance(error, RankFault | DistError) or (type(error) is RuntimeError and not is_out_of_memory(error))


def _ended(processes: list[subprocess.Popen[bytes]], *, patient: bool) -> dict[int, dict[str, Any]]:
    """Wait for the ranks to end, kill those that do not, and give what is known of those that failed by themselves."""
    deadline = time.monotonic() + (GRACE_SECONDS if patient else 1.0)
    for process in processes:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(max(0.0, deadline - time.monotonic()))
    faults = _faults(processes)
    for process in processes:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
    return faults


def _faults(processes: list[subprocess.Popen[bytes]]) -> dict[int, dict[str, Any]]:
    """By rank, why those have ended that have ended badly."""
    found = {}
    for rank, process in enumerate(processes, start=1):
        if code := process.poll():
            said = process.stdout.read() if process.stdout is not None else b""
            ended = f"it was killed by signal {-code}" if code < 0 else f"it ended with code {code}"
            found[rank] = json.loads(said) if said else {"error": ended, "oom": False, "own": True}
    return found
