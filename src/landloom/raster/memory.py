"""Memory: what allocators keep back, so that a process does not grow with its area of interest."""

from __future__ import annotations

import ctypes
import gc
import os
from contextlib import suppress

LIBC = "libc.so.6"

MMAP_THRESHOLD, MMAP_BYTES = -3, 8 << 20
"""A parameter of glibc's `mallopt` (malloc.h): from how many bytes on an array has its own pages.

By itself glibc raises it to 32 MB as arrays come and go; they then lie in the heaps of threads,
between others, and their memory stays. Predictions and polygons of a sixteen times larger area took
18 and 27 % more memory so, and take 6 and 8 % more now. With 1 MB polygons took no less, and to
write them took 1.7 times as long: each array's pages were asked for anew.
"""

TRIM_THRESHOLD, TRIM_BYTES = -1, 8 << 20
"""The same for how much may lie free at the end of a heap before the system gets it back.

Once the other is set glibc no longer raises this one with it, and keeps 128 kB: what packs a chunk
then got, cleared and lost two megabytes of pages each time, 7 % of a mosaic's processor time.
"""

ARROW_POOL = "ARROW_DEFAULT_MEMORY_POOL"
"""Variable that Arrow reads when it is loaded: its own pools keep what they were given."""


def settle_allocators() -> None:
    """Let large arrays, and Arrow's, go back to the system as soon as they are free.

    It is for the whole process and does nothing where the allocator is not glibc's.
    """
    os.environ.setdefault(ARROW_POOL, "system")
    with suppress(OSError, AttributeError):
        libc = ctypes.CDLL(LIBC)
        libc.mallopt(MMAP_THRESHOLD, MMAP_BYTES)
        libc.mallopt(TRIM_THRESHOLD, TRIM_BYTES)


def return_free_memory() -> None:
    """Give memory that is free but still held by the allocator back to the system.

    glibc keeps what threads have freed in arenas of their own. A stage that ends leaves a gigabyte
    there, and the next stage, on other threads, would take its own on top of it. Elsewhere than on
    glibc only Python's garbage is collected, and that of the stage only: to go over all that was
    imported takes a tenth of a second and finds nothing.
    """
    gc.collect(1)
    with suppress(OSError, AttributeError):
        ctypes.CDLL(LIBC).malloc_trim(0)
