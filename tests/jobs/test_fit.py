"""The road: fit, then open, evaluate, predict; and what makes it refuse."""

import csv
import json
import shutil

import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file, save_file

from edgewise.core.artifacts import find_artifact
from edgewise.core.errors import EdgewiseError, UsageError
from edgewise.core.progress import Silent
from edgewise.core.runs import RunFolder
from edgewise.core.surgery import digest
from edgewise.jobs.evaluate import evaluate
from edgewise.jobs.fit import FitRequest, fit_run
from edgewise.jobs.opening import open_artifact
from edgewise.jobs.predict import predict


def request(photos, **changes):
    settings = {"backbone": "pocket", "weights": "none", "epochs": 2, "workers": 0, "method": "repnet", **changes}
    return FitRequest(str(photos), **settings)


@pytest.fixture(scope="module")
def run(photos, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "first"
    record = fit_run(request(photos, epochs=4), out, command="edgewise fit photos")
    return out, record


def test_leaves_the_whole_run_folder(run, photos):
    out, record = run
    for name in ("config.yaml", "record.json", "metrics.csv", "log.txt", "report.html"):
        assert (out / name).stat().st_size > 0
    for name in ("artifact.json", "adapter.safetensors", "README.md"):
        assert (out / "artifact" / name).stat().st_size > 0
    assert json.loads((out / "record.json").read_text())["metrics"] == record["metrics"]
    assert record["data"]["counts"]["test"] == {"square": 8, "stripe": 8}
    assert record["data"]["val"] == 6
    assert record["sizes"]["artifact_bytes"] == (out / "artifact" / "adapter.safetensors").stat().st_size
    rows = list(csv.DictReader((out / "metrics.csv").read_text().splitlines()))
    assert [row["epoch"] for row in rows] == ["1", "2", "3", "4"]
    config = yaml.safe_load((out / "config.yaml").read_text())
    assert (config["method"], config["lr"], config["settings"]["connect"]) == ("repnet", 1e-3, "dual")


class Heard(Silent):
    def __init__(self):
        self.notes = []

    def note(self, text):
        self.notes.append(text)


def test_counts_per_class_are_shown(photos, tmp_path):
    heard = Heard()
    fit_run(request(photos, epochs=1), tmp_path / "run", listener=heard)
    assert heard.notes[0] == "Photos: 34 train, 6 val, 16 test. In train: square 17, stripe 17."
    for name in "abcdefghijkl":
        shutil.copytree(photos / "train" / "square", tmp_path / "many" / name)
    shutil.copytree(photos / "test" / "stripe", tmp_path / "many" / "z")
    fit_run(request(tmp_path / "many", epochs=1, val_fraction=0, method="last"), tmp_path / "more", listener=heard)
    assert "Photos: 248 train. In train, a has the most (20) and z the fewest (8)." in heard.notes


def test_learns(run):
    assert run[1]["metrics"]["test_accuracy"] >= 0.75
    assert run[1]["history"][-1]["train_loss"] < run[1]["history"][0]["train_loss"]


def test_adapter_holds_the_head_and_the_side_network_only(run):
    tensors = load_file(run[0] / "artifact" / "adapter.safetensors")
    assert any(name.startswith("side.") and "running_mean" in name for name in tensors), "changed buffers included"
    assert {name for name in tensors if not name.startswith("side.")} == {
        "network.classifier.1.weight",
        "network.classifier.1.bias",
    }


def test_the_adapter_is_as_readable_as_any_other_file(run):
    modes = {(run[0] / "artifact" / name).stat().st_mode for name in ("adapter.safetensors", "artifact.json")}
    assert len(modes) == 1


def test_evaluating_again_gives_the_same_accuracy(run, photos):
    again = evaluate(run[0], photos)
    assert again["accuracy"] == run[1]["metrics"]["test_accuracy"]
    assert again["split"] == "test"
    assert again["confusion"] == run[1]["metrics"]["confusion"]


def test_predicts_photos_and_folders(run, photos, tmp_path):
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"not a photo")
    rows = predict(run[0], [photos / "test" / "square", bad], top=2)
    assert len(rows) == 9
    assert rows[-1]["error"]
    assert rows[-1]["label"] is None
    assert sum(row["label"] == "square" for row in rows[:8]) >= 5
    assert sum(p for _, p in rows[0]["top"]) == pytest.approx(1, abs=1e-6)
    with pytest.raises(UsageError, match="no photo or folder at"):
        predict(run[0], [photos / "nowhere.jpg"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="There are no photos in"):
        predict(run[0], [tmp_path / "empty"])


def test_the_artifact_alone_can_be_carried_away(run, photos, tmp_path):
    shutil.copytree(run[0] / "artifact", tmp_path / "elsewhere")
    assert find_artifact(tmp_path / "elsewhere") == tmp_path / "elsewhere"
    assert evaluate(tmp_path / "elsewhere", photos)["accuracy"] == run[1]["metrics"]["test_accuracy"]


def test_a_mistake_in_the_photos_leaves_no_folder_behind(photos, tmp_path):
    with pytest.raises(EdgewiseError, match="There is no folder or CSV file at"):
        fit_run(request(tmp_path / "nowhere"), tmp_path / "run")
    data = tmp_path / "photos"
    shutil.copytree(photos, data)
    for path in sorted((data / "train" / "stripe").glob("*"))[:5]:
        path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(EdgewiseError, match="--max-bad"):
        fit_run(request(data), tmp_path / "run")
    assert not (tmp_path / "run").exists(), "so that the mended command can be repeated as it is"
    record = fit_run(request(data, epochs=1, max_bad=0.2), tmp_path / "run")
    assert len(record["data"]["skipped"]) == 5


def test_an_output_folder_in_use_is_left_alone(run, photos):
    before = (run[0] / "record.json").read_bytes()
    with pytest.raises(UsageError, match="is in use. Choose another with --out, or add --resume"):
        fit_run(request(photos), run[0])
    assert (run[0] / "record.json").read_bytes() == before


def test_resuming_with_other_settings_names_them(run, photos):
    with pytest.raises(UsageError, match="batch_size was 8 and is now 4"):
        fit_run(request(photos, epochs=4, batch_size=4), run[0], resume=True)


def test_resuming_a_finished_run_changes_nothing(photos, tmp_path):
    fit_run(request(photos), tmp_path / "run")
    before = load_file(tmp_path / "run/artifact/adapter.safetensors")
    fit_run(request(photos), tmp_path / "run", resume=True)
    assert digest(load_file(tmp_path / "run/artifact/adapter.safetensors")) == digest(before)


def test_same_seed_same_bits_another_seed_other_bits(photos, tmp_path):
    digests = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        fit_run(request(photos, epochs=1, seed=seed), tmp_path / name)
        digests.append(digest(load_file(tmp_path / name / "artifact/adapter.safetensors")))
    assert digests[0] == digests[1] != digests[2]


def test_workers_do_not_change_the_result(photos, tmp_path):
    for name, workers in (("none", 0), ("two", 2)):
        fit_run(request(photos, epochs=1, workers=workers), tmp_path / name)
    first, second = (load_file(tmp_path / n / "artifact/adapter.safetensors") for n in ("none", "two"))
    assert digest(first) == digest(second)


@pytest.mark.parametrize("method", ["last", "bn", "bias", "full"])
def test_every_method_reopens_to_the_same_logits(method, photos, tmp_path):
    record = fit_run(request(photos, method=method, epochs=1, val_fraction=0), tmp_path / "run")
    assert record["metrics"]["best_epoch"] == 1
    assert record["metrics"]["val_accuracy"] is None
    assert evaluate(tmp_path / "run", photos)["accuracy"] == record["metrics"]["test_accuracy"]


def test_unknown_names_are_met_with_a_suggestion(photos, tmp_path):
    for changes, message in (
        ({"method": "repnt"}, "no method 'repnt'. Did you mean 'repnet'"),
        ({"backbone": "poket"}, "Did you mean 'pocket'"),
        ({"method_settings": {"conect": "up"}}, "no setting of RepNet 'conect'. Did you mean 'connect'"),
        ({"method_settings": {"connect": "sideways"}}, "connect is 'sideways'; choose one of dual, dual-all"),
        ({"epochs": 0}, "epochs is 0; it must be from 1"),
        ({"lr": -1.0}, "lr is -1.0; it must be at least 0"),
    ):
        with pytest.raises(UsageError, match=message.replace("?", r"\?")):
            fit_run(request(photos, **changes), tmp_path / "run")
    assert not (tmp_path / "run").exists(), "nothing is done before the check"


def test_an_adapter_is_refused_on_another_backbone(run, tmp_path):
    folder = tmp_path / "artifact"
    shutil.copytree(run[0] / "artifact", folder)
    manifest = json.loads((folder / "artifact.json").read_text())
    manifest["backbone"]["settings"]["seed"] = 7
    (folder / "artifact.json").write_text(json.dumps(manifest))
    with pytest.raises(EdgewiseError, match="An adapter works only on the very backbone it was trained on"):
        open_artifact(folder)


def test_a_damaged_adapter_is_refused(run, tmp_path):
    folder = tmp_path / "artifact"
    shutil.copytree(run[0] / "artifact", folder)
    tensors = folder / "adapter.safetensors"
    whole = tensors.read_bytes()
    tensors.write_bytes(whole[:-10])
    with pytest.raises(EdgewiseError, match="it was cut off or changed. Copy it again"):
        open_artifact(folder)
    loaded = load_file(run[0] / "artifact" / "adapter.safetensors")
    save_file({**loaded, "network.classifier.1.bias": torch.ones(2)}, tensors)
    with pytest.raises(EdgewiseError, match="SHA-256 differs"):
        open_artifact(folder)
    tensors.unlink()
    with pytest.raises(EdgewiseError, match="tensors are missing"):
        open_artifact(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": "edgewise-artifact-9"}, "not an artifact that this version"),
        ({"kind": "spell"}, "of kind 'spell'"),
        ({"classes": None}, "classes missing"),
        ({"preprocess": {"size": 10**9, "mean": [0, 0, 0], "std": [1, 1, 1]}}, "out of range"),
    ],
)
def test_an_edited_manifest_is_refused(run, tmp_path, change, message):
    folder = tmp_path / "artifact"
    shutil.copytree(run[0] / "artifact", folder)
    manifest = json.loads((folder / "artifact.json").read_text())
    for key, value in change.items():
        if value is None:
            del manifest[key]
        else:
            manifest[key] = value
    (folder / "artifact.json").write_text(json.dumps(manifest))
    with pytest.raises(EdgewiseError, match=message):
        open_artifact(folder)


def test_an_unfinished_or_missing_run_says_so(tmp_path):
    with pytest.raises(EdgewiseError, match="There is nothing at"):
        open_artifact(tmp_path / "no")
    (tmp_path / "half").mkdir()
    with pytest.raises(EdgewiseError, match="neither a run nor an artifact"):
        open_artifact(tmp_path / "half")
    RunFolder(tmp_path / "half").create({"a": 1}, resume=False)
    with pytest.raises(EdgewiseError, match="is not finished.*--resume"):
        open_artifact(tmp_path / "half")


def test_photos_that_change_before_resuming_are_noticed(photos, tmp_path):
    data = tmp_path / "photos"
    shutil.copytree(photos, data)
    fit_run(request(data, epochs=1), tmp_path / "run")
    Image.new("RGB", (32, 32)).save(data / "train" / "square" / "new.jpg")
    with pytest.raises(EdgewiseError, match="its photos changed since it was interrupted"):
        fit_run(request(data, epochs=1), tmp_path / "run", resume=True)


def test_no_gps_or_camera_reaches_report_or_card(photos, tmp_path):
    data = tmp_path / "photos"
    shutil.copytree(photos, data)
    exif = Image.Exif()
    exif[0x010F] = "SecretCamera"
    exif.get_ifd(0x8825)[1] = "N"
    for path in data.rglob("*.jpg"):
        with Image.open(path) as image:
            image.load()
        image.save(path, exif=exif)
    out = tmp_path / "run"
    fit_run(request(data, epochs=1, method="last"), out)
    for path in out.rglob("*"):
        if path.is_file():
            assert b"SecretCamera" not in path.read_bytes(), path
    for path in (out / "assets").glob("*"):
        with Image.open(path) as picture:
            assert not picture.getexif()


def test_a_loss_that_explodes_stops_and_keeps_the_checkpoint(photos, tmp_path):
    wild = request(photos, method="full", epochs=3, lr=1e30, side_lr=1e30)
    with pytest.raises(EdgewiseError, match=r"The loss became (nan|inf) in epoch \d, batch \d \(.*\.jpg"):
        fit_run(wild, tmp_path / "run")
    assert not (tmp_path / "run" / "artifact").exists()


def test_a_last_batch_of_one_photo_trains(photos, tmp_path):
    data = tmp_path / "photos"
    shutil.copytree(photos, data)
    for path in sorted((data / "train" / "stripe").glob("*"))[13:]:
        path.unlink()  # 33 photos: four batches of 8 and one of 1
    small = request(data, method="full", backbone="mobilenet_v2", width=0.35, image_size=32, epochs=1, val_fraction=0)
    assert fit_run(small, tmp_path / "run")["history"][0]["epoch"] == 1
    single = request(
        data, method="full", backbone="mobilenet_v2", width=0.35, image_size=32, epochs=1, val_fraction=0, batch_size=1
    )
    with pytest.raises(EdgewiseError, match="A batch of 1 photo at 32 px.*larger --batch-size"):
        fit_run(single, tmp_path / "single")


def test_imbalance_is_pointed_out(photos, tmp_path):
    data = tmp_path / "photos"
    shutil.copytree(photos, data)
    for path in sorted((data / "train" / "stripe").glob("*"))[3:]:
        path.unlink()
    record = fit_run(request(data, epochs=1, val_fraction=0), tmp_path / "run")
    assert any("square has 20 training photos, stripe 3. --balance" in note for note in record["notes"])
    record = fit_run(request(data, epochs=1, val_fraction=0, balance=True), tmp_path / "balanced")
    assert not any("--balance" in note for note in record["notes"])
