"""Where a model runs: the device that was asked for, as far as this machine has it."""

from __future__ import annotations

CPU, CUDA = "cpu", "cuda"


def settled(wanted: str) -> tuple[str, tuple[str, ...]]:
    """Return the device to try, and what the user should know if it is not the wanted one.

    Args:
        wanted: `cpu`, `cuda`, or `cuda:N` for one CUDA device of several. The first one has two
            names, of which `cuda` is returned.
    """
    if wanted == CPU:
        return CPU, ()
    import torch  # noqa: PLC0415 - a CPU may do without

    if not torch.cuda.is_available():
        return CPU, ("There is no CUDA device here: the model runs on the CPU.",)
    number, count = int(wanted.partition(":")[2] or 0), torch.cuda.device_count()
    if number < count:
        return f"{CUDA}:{number}" if number else CUDA, ()
    return CUDA, (f"There is no {wanted} here, {count} in all: the model runs on the first.",)
