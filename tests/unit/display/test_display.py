"""What people see of work: bars where there is a terminal, whole lines where there is none."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from landloom.display import StageBars, WorkflowDisplay, print_plan
from landloom.display.plan import duration, size
from landloom.wire.plan import Plan, PlannedMosaic
from landloom.wire.progress import ProgressEvent

LONG = "a sentence that is much longer than any terminal is wide, " * 4


def event(stage: str, message: str, done: int | None = None, **more: object) -> ProgressEvent:
    total = None if done is None else 4
    said = {"seq": 0, "at": 0.0, "stage": stage, "message": message, "done": done, "total": total}
    return ProgressEvent.model_validate(said | more)


def shown(*, terminal: bool, state: str = "COMPLETED") -> str:
    text = io.StringIO()
    console = Console(file=text, force_terminal=terminal, width=100, color_system=None)
    with WorkflowDisplay("build_mosaics", console) as display:
        display.show(event("search", "Looking"))
        display.show(event("mosaic", LONG, 1))
        display.show(event("mosaic", "Left out: B04.tif", level="warning"))
        display.show(event("mosaic", "composite [of] 2 scenes", 4))
        display.begun("id")
    display.finish(state)
    return text.getvalue()


def test_a_log_has_every_event_as_one_whole_line() -> None:
    lines = shown(terminal=False).splitlines()
    assert lines[:2] == ["[rasterflow] search: Looking", f"[rasterflow] mosaic 1/4 tiles: {LONG}"]
    assert lines[2:4] == [
        "[rasterflow] WARNING mosaic: Left out: B04.tif",
        "[rasterflow] mosaic 4/4 tiles: composite [of] 2 scenes",
    ]
    assert lines[4].startswith("[rasterflow] build_mosaics [0.")
    assert lines[4].endswith("COMPLETED ID: id")


def test_a_terminal_has_a_bar_a_stage_and_warnings_above() -> None:
    text = shown(terminal=True)
    assert "WARNING mosaic: Left out: B04.tif" in text
    assert "4/4" in text
    assert "composite [of] 2 scenes" in text
    assert text.rstrip().endswith("COMPLETED ID: id")


def test_a_bar_is_one_line_whatever_it_says() -> None:
    text = io.StringIO()
    console = Console(file=text, force_terminal=True, width=80, color_system=None)
    with StageBars(console) as bars:
        bars.show("mosaic", LONG, 1, 2)
    assert all(len(line) < 120 for line in text.getvalue().replace("\r", "\n").splitlines())
    assert "…" in text.getvalue()


def test_a_plan_is_a_table_with_its_sum_and_its_grounds() -> None:
    text = io.StringIO()
    mosaic = PlannedMosaic(
        crs="EPSG:32633",
        shape_yx=(4096, 12345),
        resolution=10,
        scenes={"S2_MED_PLANTING": 12, "S2_MED_HARVEST": 7},
        tiles=14,
        bytes_to_read=1_400_000_000,
        seconds=75,
    )
    plan = Plan(
        mosaics=[mosaic, mosaic],
        model="s3://models/[ftw].pt2",
        patches=1234,
        bytes_to_read=2_800_000_000,
        seconds=150,
        notes=["bytes: of the blocks in the headers of 80 of 190 rasters, scaled to all"],
    )
    print_plan(plan, Console(file=text))
    told = text.getvalue()
    row = next(line for line in told.splitlines() if line.startswith(" 1 "))
    for word in ("EPSG:32633", "4,096 x 12,345", "14", "12 S2_MED_PLANTING", "1.4 GB", "75 s"):
        assert word in row
    assert "7 S2_MED_HARVEST" in told
    assert "Model: s3://models/[ftw].pt2, 1,234 patches" in told
    assert "In all: 2.8 GB to read, 2 min or so. Nothing was run." in told
    assert "80 of 190 rasters" in told


@pytest.mark.parametrize(
    ("bytes_", "text"),
    [(0, "0 B"), (999, "999 B"), (20_036, "20 kB"), (1.5e9, "1.5 GB"), (1.5e14, "150 TB")],
)
def test_sizes_are_said_as_people_say_them(bytes_: float, text: str) -> None:
    assert size(bytes_) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "under 1 s"), (90, "90 s"), (600, "10 min"), (36_000, "10.0 h")],
)
def test_times_are_said_as_people_say_them(seconds: float, text: str) -> None:
    assert duration(seconds) == text
