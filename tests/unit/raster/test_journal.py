from landloom.raster.journal import Journal


def test_events_are_numbered_from_zero_and_warnings_kept():
    shown = []
    journal = Journal(shown.append)
    journal.report("search", "Looking")
    journal.warn("search", "No scenes")
    journal.report("mosaic", "Composite", 1, 2)
    assert [event.seq for event in shown] == [0, 1, 2]
    assert journal.warnings == ["No scenes"]
    assert [event.line() for event in shown] == [
        "[rasterflow] search: Looking",
        "[rasterflow] WARNING search: No scenes",
        "[rasterflow] mosaic 1/2 tiles: Composite",
    ]
