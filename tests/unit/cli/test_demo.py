"""What of the demo can be told without a platform: its display, and what it does not let pass."""

import io

import pytest
from rich.console import Console

from landloom.cli import demo
from landloom.cli.demo_display import RunDisplay
from landloom.errors import SetupProblem, WorkflowError

STAGES = [
    "[rasterflow] mosaic 1/2 tiles: composite of 2 scenes",
    "[rasterflow] mosaic 2/2 tiles: composite of 2 scenes",
    "[rasterflow] predict 1/1 tiles: Running the model",
    "[rasterflow] vectorize 1/1 tiles: Tracing field",
]


def shown(*, terminal):
    text = io.StringIO()
    console = Console(file=text, force_terminal=terminal, width=100, color_system=None)
    with RunDisplay(console) as display:
        display.status("RUNNING")
        for line in ("Area of interest: s3://here", *STAGES):
            display.line(line)
        display.status("COMPLETED")
    return text.getvalue()


class TestDisplay:
    def test_prints_every_line_where_there_is_no_terminal(self):
        lines = shown(terminal=False).splitlines()
        assert [line.strip() for line in lines] == [
            "• Run is RUNNING",
            "Area of interest: s3://here",
            *STAGES,
            "• Run is COMPLETED",
        ]

    def test_draws_a_bar_a_stage_on_a_terminal(self):
        text = shown(terminal=True)
        assert "Area of interest: s3://here" in text
        assert "[rasterflow]" not in text
        last = [line for line in text.splitlines() if "2/2" in line or "1/1" in line]
        assert {
            word for line in last for word in ("mosaic", "predict", "vectorize") if word in line
        }


class TestRefusals:
    @pytest.mark.parametrize("stage", ["mosaic", "predict", "vectorize"])
    def test_a_log_without_progress_of_a_stage_fails(self, stage):
        demo._check_log("id", STAGES)
        with pytest.raises(WorkflowError, match=stage):
            demo._check_log("id", [line for line in STAGES if stage not in line])

    def test_without_samples_it_says_where_they_are(self, monkeypatch, tmp_path):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(demo, "__file__", str(tmp_path / "a" / "b" / "c" / "demo.py"))
        with pytest.raises(SetupProblem, match="samples are not here"):
            demo._find_samples()

    def test_a_data_folder_of_somebody_else_is_left_alone(self, tmp_path):
        kept = tmp_path / "data" / "thesis.txt"
        kept.parent.mkdir()
        kept.write_text("mine")
        with pytest.raises(SetupProblem, match="not the data of an earlier demo"):
            demo._clear(tmp_path)
        assert kept.read_text() == "mine"
