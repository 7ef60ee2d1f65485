"""The rows of the table, a file each."""

from __future__ import annotations

from benchmarks.measuring import Row
from benchmarks.rows import (
    client,
    frame,
    instances,
    memory,
    monitor,
    parallel,
    rollout,
    step,
    v1,
    vector,
)

ROWS: tuple[Row, ...] = (
    step.ROW,
    v1.ROW,
    client.ROW,
    frame.ROW,
    vector.ROW,
    rollout.ROW,
    instances.ROW,
    memory.ROW,
    parallel.ROW,
    monitor.ROW,
)


def named(names: str) -> list[Row]:
    """The rows that a list such as "1,vector" names, in the table's order. Raises ValueError."""
    wanted = {name.strip() for name in names.split(",")}
    if unknown := wanted - {key for row in ROWS for key in (str(row.number), row.name)}:
        known = ", ".join(f"{row.number} ({row.name})" for row in ROWS)
        raise ValueError(f"no row {', '.join(sorted(unknown))}; there are {known}")
    return [row for row in ROWS if wanted & {str(row.number), row.name}]
