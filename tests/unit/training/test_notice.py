"""What every reader of a model's results must know: from the data to the run folder."""

import json

import pytest

from breastseg.core.errors import RunFolderError
from breastseg.datasets.simulated import says_simulated
from breastseg.training.model import open_model
from breastseg.training.notice_file import read_notice, save_notice
from tests.bright_network import bright_recipe, write_bright_run


def test_a_notice_is_one_line_and_none_where_there_is_none(tmp_path):
    assert read_notice(tmp_path) is None
    save_notice(tmp_path, None)
    save_notice(tmp_path, "  ")
    assert list(tmp_path.iterdir()) == []
    save_notice(tmp_path, "Never validated\n on patients.")
    assert read_notice(tmp_path) == "Never validated on patients."


def test_a_file_added_to_a_run_is_its_notice(tmp_path):
    run = write_bright_run(tmp_path / "run", bright_recipe(), 100.0)
    assert open_model(run.path).notice is None
    (run.path / "notice.txt").write_text("Be careful.\n", encoding="utf-8")
    assert open_model(run.path).notice == "Be careful."
    (run.path / "notice.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RunFolderError, match="UTF-8"):
        _ = open_model(run.path).notice


@pytest.mark.parametrize(
    ("file", "document"),
    [
        ("phantoms.json", {"seed": 1}),
        ("dataset.json", {"description": "Simulated: not of patients."}),
        ("truth/case/truth.json", {"note": "Simulated: not of patients."}),
    ],
)
def test_a_data_set_says_itself_that_it_is_simulated(tmp_path, file, document):
    (tmp_path / "dataset.json").write_text('{"description": "CT of patients"}')
    assert not says_simulated(tmp_path)
    path = tmp_path / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))
    assert says_simulated(tmp_path)
