"""What an exception says about memory and about the device that a cell ran on.

torch and the CUDA libraries have few exception classes for this: most errors are told apart by their text.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

# Of torch's allocators, of the CUDA runtime ("CUDA error: out of memory"), and of cuBLAS and cuDNN, which allocate
# memory of their own. (cuDNN 9 says CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED, or HOST.)
_OUT_OF_MEMORY = ("DefaultCPUAllocator", "out of memory", "_STATUS_ALLOC_FAILED", "_ALLOCATION_FAILED")
_DEVICE = ("CUDA error", "CUDA driver error", "CUBLAS_STATUS_", "CUDNN_STATUS_", "CUSPARSE_STATUS_", "MPS backend")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception means that memory ran out, on the device or on the host."""
    if isinstance(error, MemoryError) or "torch" not in sys.modules:  # this is no time to import it
        return isinstance(error, MemoryError)
    import torch

    return isinstance(error, torch.OutOfMemoryError) or _says(error, _OUT_OF_MEMORY)


def leaves_process_unfit(error: BaseException) -> bool:
    """Whether a process in which this was raised should run no other cell.

    After a lack of memory it is no fair start for the next cell. After any other error of a device every later call on
    that device may fail: CUDA's errors are sticky. An error that was raised while one of these was handled counts.
    """
    return any(is_out_of_memory(each) or _is_of_device(each) for each in _with_contexts(error))


def _is_of_device(error: BaseException) -> bool:
    if "torch" not in sys.modules:
        return False
    import torch

    return isinstance(error, torch.AcceleratorError) or _says(error, _DEVICE)


def _says(error: BaseException, phrases: tuple[str, ...]) -> bool:
    return isinstance(error, RuntimeError) and any(phrase in str(error) for phrase in phrases)


def _with_contexts(error: BaseException) -> Iterator[BaseException]:
    """The exception, and those during whose handling it was raised, also where `from None` hides them."""
    seen: list[BaseException] = []
    at: BaseException | None = error
    while at is not None and at not in seen:
        seen.append(at)
        yield at
        at = at.__cause__ or at.__context__
