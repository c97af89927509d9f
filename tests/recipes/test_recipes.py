"""Every recipe from a clean folder with conf/smoke.yaml, held to a bound; and one that is killed again and again."""

import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from kdasr import io
from tests.images import write_idx

ROOT = Path(__file__).resolve().parents[2]
CORPORA = Path(os.environ.get("KDASR_DATA", ROOT.parent / "shared" / "data"))
MODELS = ("mono", "members/member-0", "members/member-1", "soft_targets", "student/student-0")
BOUNDS = {"digits": 40.0, "an4": 40.0, "yesno": 10.0}  # WER of the GMM on the test set, per cent

STUDY = """
fbank: {cmvn: speaker}
dnn: {layers: 1, width: 32}
train: {epochs: 1, threads: 1}
student: {epochs: 1, threads: 1}
decode: {search_beam: 8.0, output_beam: 3.0, max_active: 1000, lm_weights: [10], penalties: [0.0]}
parts:
  table_1: {study: {baseline: {}, ensemble: {members: [2]}, student: {}}}
  axes: {study: {baseline: {}, ensemble: {members: [2]}, student: {dnn.width: [16]}}}
  table_5: {study: {baseline: [{}, {train.fraction: [0.1]}], student: {student.fraction: [0.1]}}}
"""

pytestmark = pytest.mark.recipe


def command(recipe: str, folder: Path) -> list[str]:
    run = [str(ROOT / "egs" / recipe / "run.sh"), "--data", str(folder / "data"), "--exp", str(folder / "exp")]
    return [*run, "--conf", str(ROOT / "egs" / recipe / "conf" / "smoke.yaml"), "--seeds", "0-1"]


def run_whole(recipe: str, folder: Path, *more: str) -> str:
    done = subprocess.run([*command(recipe, folder), *more], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:] + done.stdout[-1000:]
    return done.stdout + done.stderr


def need(recipe: str) -> None:
    if recipe != "digits" and not (CORPORA / recipe).is_dir():
        pytest.skip(f"{CORPORA / recipe} is not there")
    pytest.importorskip("k2")
    if recipe == "digits":
        pytest.importorskip("espeakng_loader")


def word_error_rate(folder: Path, system: str) -> float:
    rate = io.read_json(folder / "exp" / "score" / system / "wer.json")["test"]["wer"]
    assert isinstance(rate, float)
    return rate


def write_an4(folder: Path) -> Path:
    """AN4 with a third of its training speakers and half of those of its test set."""
    home = CORPORA / "an4"
    (folder / "etc").mkdir(parents=True)
    for name in ("an4.dic", "an4.ug.lm"):
        (folder / "etc" / name).symlink_to(home / "etc" / name)
    for part, place, every in (("train", "an4_clstk", 3), ("test", "an4test_clstk", 2)):
        speakers = sorted(path.name for path in (home / "wav" / place).iterdir())[::every]
        for speaker in speakers:
            (folder / "wav" / place / speaker).mkdir(parents=True)
            for path in (home / "wav" / place / speaker).iterdir():
                (folder / "wav" / place / speaker / path.name).symlink_to(path)
        for name in (f"an4_{part}.fileids", f"an4_{part}.transcription"):
            lines = (home / "etc" / name).read_text().splitlines()
            own = [line for line in lines if line.rpartition("-")[0].rpartition("-")[2] in speakers]
            (folder / "etc" / name).write_text("".join(f"{line}\n" for line in own))
    return folder


def test_an4_runs_from_a_clean_folder(tmp_path: Path) -> None:
    """All but the comparison with Kaldi, whose GMMs are trained and decoded as the recipe's own."""
    need("an4")
    given = ["--corpus", str(write_an4(tmp_path / "corpus")), "--set", "an4.dev_speakers=4", "--num-jobs", "1"]
    run_whole("an4", tmp_path, *given, "--stop-stage", "8")
    (tmp_path / "study.yaml").write_text(STUDY)
    tables = ["--study", str(tmp_path / "study.yaml"), "--pool", "0-1", "--speeds", "0.9,1.1"]
    run_whole("an4", tmp_path, *given, *tables, "--stage", "10")
    assert_sound("an4", tmp_path)
    for table, cells in (("1", 3), ("axes", 3), ("5", 3)):
        rows = io.read_json(tmp_path / "exp" / f"study_{table}" / "results.json")["rows"]
        assert len(rows) == cells and all("dev" in row and "test" in row for row in rows)
        assert all(("words" in row) == (table != "5") for row in rows)


@pytest.mark.full
def test_an4_is_compared_with_kaldi(tmp_path: Path) -> None:
    need("an4")
    run_whole("an4", tmp_path, "--corpus", str(write_an4(tmp_path / "corpus")), "--set", "an4.dev_speakers=4")
    assert "bigram" in (tmp_path / "exp" / "results.md").read_text()
    assert_costs_are_told(tmp_path)


def assert_costs_are_told(folder: Path) -> None:
    """benchmarks/deploy.py, of the run in a folder: one row a system, and the smaller net is the smaller file."""
    run = [sys.executable, str(ROOT / "benchmarks" / "deploy.py"), "--out", str(folder / "deploy"), "--rounds", "1"]
    run += command("an4", folder)[1:-2]  # without seeds
    told = subprocess.run(run, check=True, stdout=subprocess.PIPE, text=True).stdout
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in told.splitlines() if "|" in line]
    sizes = {row[0]: float(row[1]) for row in rows[2:]}
    assert list(sizes) == ["one member", "ensemble of 2", "student", "student onnx", "student int8"]
    assert sizes["student int8"] < sizes["student onnx"] and sizes["student"] < sizes["ensemble of 2"]
    assert told.count("x real time for the test set") == 2


def assert_sound(recipe: str, folder: Path) -> None:
    """What came out of a recipe of these systems; egs/digits is run by its tutorial, in tests/docs."""
    assert word_error_rate(folder, "mono") < BOUNDS[recipe]
    for system in ("members/ensemble", "members/member-0", "student"):
        assert 0 <= word_error_rate(folder, system) < 100
    table = (folder / "exp" / "results.md").read_text()
    assert "nsemble" in table and re.search(r"\d+\.\d+", table)
    assert_transcribed(folder)


def assert_transcribed(folder: Path) -> None:
    """The bundled student writes for each recording of the test set what the recipe decoded, to the word."""
    from kdasr.corpora.manifests import load_cuts
    from kdasr.decode.hypotheses import read_hypotheses

    places = {cut.recording.sources[0].source: cut.id for cut in load_cuts(folder / "data" / "manifests" / "test")}
    done = subprocess.run(
        ["kdasr", "transcribe", str(folder / "exp" / "bundle"), *places], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = dict(line.split("\t") for line in done.stdout.splitlines())
    chosen = io.read_json(folder / "exp" / "score" / "student" / "wer.json")["test"]
    recipe = read_hypotheses(folder / "exp" / "decode" / "test" / "student")[chosen["lm_weight"], chosen["penalty"]]
    assert {places[place]: text for place, text in found.items()} == recipe


def write_librispeech(folder: Path, subsets: dict[str, tuple[str, ...]]) -> Path:
    """Subsets of some speakers of Mini LibriSpeech, the six shortest utterances of each; and their text, in `text`."""
    home, text = CORPORA / "mini_librispeech" / "LibriSpeech", []
    for subset, speakers in subsets.items():
        for speaker in speakers:
            (source,) = home.glob(f"*/{speaker}")
            lines = [line for path in source.rglob("*.trans.txt") for line in path.read_text().splitlines()]
            for line in sorted(lines, key=len)[:6]:
                id, _, words = line.partition(" ")
                (recording,) = source.rglob(f"{id}.opus")
                chapter = folder / "LibriSpeech" / subset / speaker / recording.parent.name
                chapter.mkdir(parents=True, exist_ok=True)
                (chapter / recording.name).symlink_to(recording)
                with open(chapter / f"{speaker}-{chapter.name}.trans.txt", "a") as transcripts:
                    transcripts.write(f"{line}\n")
                text.append(f"{words.lower()}\n")
    (folder / "text").write_text("".join(text))
    return folder


def run_librispeech(recipe: str, folder: Path, *more: str) -> None:
    own = ["--corpus", str(folder), "--text", str(folder / "text"), "--num-jobs", "1"]
    places = ["--data", str(folder / "data"), "--exp", str(folder / "exp")]
    run = [str(ROOT / "egs" / recipe / "run.sh"), *own, *places, *more]
    done = subprocess.run(run, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:] + done.stdout[-1000:]


def test_a_recipe_of_tied_states_runs_from_a_clean_folder(tmp_path: Path) -> None:
    need("mini_librispeech")
    write_librispeech(tmp_path, {"train-clean-5": ("19", "32", "118", "163", "1088"), "dev-2spk": ("4088", "5652")})
    conf = str(ROOT / "egs" / "mini_librispeech" / "conf" / "smoke.yaml")
    asked = ["--seeds", "0-1", "--specialists", "1", "--study", "yes"]
    run_librispeech("mini_librispeech", tmp_path, "--conf", conf, *asked)
    sizes = [io.read_info(tmp_path / "exp" / model)["num_pdfs"] for model in ("mono", "tri", "lda_mllt", "sat")]
    assert sizes[0] < min(sizes[1:]) and io.read_info(tmp_path / "exp" / "student" / "student-0")
    for system in ("tri", "lda_mllt", "sat", "members/ensemble", "members/member-1", "student"):
        assert (
            0 <= word_error_rate(tmp_path, system) <= 120
        )  # 3 minutes of speech teach little: 97 when this was written
    report = (tmp_path / "exp" / "results.md").read_text()
    assert "nsemble" in report and "| one net distilled from these |" in report
    assert io.read_info(tmp_path / "exp" / "specialists" / "member-1" / "gain" / "test")["all"]["examples"] > 0
    rows = io.read_json(tmp_path / "exp" / "study_1" / "results.json")["rows"]
    assert len(rows) == 3 and all("words" in row for row in rows)
    assert not (tmp_path / "exp" / "other").exists()


def test_the_full_corpus_has_the_same_recipe_with_its_own_sets(tmp_path: Path) -> None:
    need("mini_librispeech")
    train = {"train-clean-100": ("19", "32"), "train-clean-360": ("118",), "train-other-500": ("163",)}
    rest = {"dev-clean": ("1088",), "test-clean": ("4088",), "dev-other": ("226",), "test-other": ("5652",)}
    write_librispeech(tmp_path, train | rest)
    run_librispeech("librispeech", tmp_path, "--stop-stage", "2", "--set", "lm.prune=0", "--set", "lexicon.guess=false")
    sizes = {path.name: io.read_info(path) for path in (tmp_path / "data" / "manifests").iterdir()}
    assert {name: info["num_speakers"] for name, info in sizes.items()} == {
        "train": 4,
        "train_short": 4,
        "dev": 1,
        "test": 1,
        "dev_other": 1,
        "test_other": 1,
    }
    assert io.read_info(tmp_path / "data" / "lm")["num_words"] > 50


def write_digits(folder: Path, moved: int, noise: float) -> Path:
    """Idx files of ten patterns, moved by up to some pixels, a third of their pixels missing, a share of all noise."""
    rng = np.random.default_rng(0)
    patterns = (rng.random((10, 6, 6)) > 0.5).repeat(2, 1).repeat(2, 2)
    for part, count in (("train", 2000), ("t10k", 1000)):
        labels = rng.integers(0, 10, count)
        pictures = rng.integers(0, 256, (count, 28, 28)) * (rng.random((count, 28, 28)) < noise)
        for picture, label in zip(pictures, labels, strict=True):
            down, right = 8 + rng.integers(-moved, moved + 1, 2)
            picture[down : down + 12, right : right + 12] += 200 * patterns[label] * (rng.random((12, 12)) < 0.7)
        write_idx(folder / f"{part}-images-idx3-ubyte", pictures.clip(0, 255))
        write_idx(folder / f"{part}-labels-idx1-ubyte", labels)
    return folder


def study(folder: Path, *more: str) -> "subprocess.CompletedProcess[str]":
    """egs/mnist of such images, in the folder."""
    own = ["--corpus", str(folder / "idx"), "--set", "mnist.check=false", "--num-jobs", "1"]
    places = ["--data", str(folder / "data"), "--exp", str(folder / "exp")]
    command = [str(ROOT / "egs" / "mnist" / "run.sh"), *own, *places, *more]
    return subprocess.run(command, capture_output=True, text=True)


def test_the_study_on_images_runs_from_a_clean_folder(tmp_path: Path) -> None:
    write_digits(tmp_path / "idx", 1, 0.05)
    exp, conf = tmp_path / "exp", str(ROOT / "egs" / "mnist" / "conf" / "smoke.yaml")
    few = ["--temperatures", "2,20", "--widths", "20", "--seeds", "0,1", "--sweep-seeds", "0,1"]
    done = study(tmp_path, "--conf", conf, *few)
    assert done.returncode == 0, done.stderr[-3000:] + done.stdout[-1000:]
    for name in ("teacher", "small", "distilled", "ensemble_student", "best_teacher", "best"):
        assert io.read_info(exp / "accuracy" / "test" / name)["accuracy"] > 0.8, name  # 0.1 by chance
    for name in (
        "teacher/member-0",
        "best_teacher/member-0",
        "small/member-0",
        "distilled/student-0",
        "best/student-0",
    ):
        assert io.read_info(exp / "dev" / name)["dev"]["num_frames"] == 500
    assert not (exp / "dev" / "teacher" / "member-1").exists()
    for part, classes in (("without_3", 1), ("only_7_and_8", 2)):
        for seed in (0, 1):
            chosen, taken = (io.read_info(exp / place / part / str(seed)) for place in ("dev/bias", "bias"))
            dev, test = chosen["errors"]["dev"], taken["errors"]["test"]
            assert chosen["shift"] == taken["shift"] == dev["best"]["shift"] == test["after"]["shift"] != 0
            assert (taken["shift"] > 0) == (part == "without_3") and len(taken["classes"]) == classes
            assert dev["after"]["errors"] < dev["before"]["errors"]
            assert test["after"]["errors"] < test["before"]["errors"]
            if part == "without_3":  # the two others were expected too often: they may lose, and the others win more
                assert test["after"]["errors_of_classes"] < test["before"]["errors_of_classes"]
    table = (exp / "results.md").read_text()
    assert "ensemble of 2 teachers, geometric mean" in table and "7s and 8s alone" in table and "T = 20" in table
    assert "teachers 0, 1, arithmetic mean" in table and "## Development nets on images" in table
    assert "generalist and 4 specialists" in table
    for seed in (0, 1):
        own = exp / "specialists" / f"member-{seed}"
        assert (own / "confusion.png").exists()
        assert io.read_info(own / "nets" / "specialist-0")["options"]["specialist"]["seed"] == seed
    for picture in ("temperatures", "biases", "training", "examples"):
        assert (exp / f"{picture}.png").exists() and f"]({picture}.png)" in table
    rows = io.read_json(exp / "results.json")["dev/grid_20/results.json"]["rows"]
    assert len(rows) == 4 and {row["seed"] for row in rows} == {0, 1}


def test_the_quick_study_is_teacher_small_and_distilled_net_in_the_order_of_the_paper(tmp_path: Path) -> None:
    write_digits(tmp_path / "idx", 2, 0.1)
    conf = str(ROOT / "egs" / "mnist" / "conf" / "quick.yaml")
    few = ["mnist.num_dev=500", "train.batch_size=20", "student.batch_size=20", "train.learning_rate=0.02"]
    done = study(tmp_path, "--conf", conf, *(word for each in few for word in ("--set", each)))
    assert done.returncode == 0, done.stderr[-3000:] + done.stdout[-1000:]
    made = {path.name for path in (tmp_path / "exp").iterdir() if path.is_dir()}
    assert made == {"teacher", "small", "distilled", "soft_targets", "accuracy"}
    assert [number for number in range(12) if f"=== stage {number} is left out:" in done.stdout] == [1, 2, 6, 7, 9, 10]
    infos = [io.read_info(tmp_path / "exp" / "accuracy" / "test" / name) for name in ("teacher", "small", "distilled")]
    assert [len(info["members"]) for info in infos] == [1, 1, 1]
    teacher, small, distilled = (info["accuracy"] for info in infos)
    assert small + 0.01 < distilled < teacher  # 0.848, 0.945, 0.998 when this was written


@pytest.mark.parametrize("option", ["--seeds", "--dev-seeds", "--sweep-seeds"])
def test_a_range_of_seeds_is_refused_by_the_study_at_its_start(tmp_path: Path, option: str) -> None:
    done = study(tmp_path, option, "0-2")
    assert done.returncode == 1 and "===" not in done.stdout
    assert done.stderr.splitlines()[-1] == "run.sh: seeds are numbers joined by commas here, as 0,1,2; got '0-2'"


def test_a_folder_of_recordings_and_transcripts_becomes_a_model(tmp_path: Path) -> None:
    """Fifty recordings of tones; one command and one YAML."""
    need("digits")
    soundfile = pytest.importorskip("soundfile")
    from tests import tones

    home, rng, lines = tmp_path / "talk", np.random.default_rng(0), []
    home.mkdir()
    for number in range(50):
        words, name = rng.choice(list(tones.WORDS), int(rng.integers(2, 6))).tolist(), f"s{number % 12}-{number}"
        soundfile.write(home / f"{name}.wav", tones.spoken(words, rng)[0], tones.RATE)
        lines.append(f"{name} {' '.join(words).lower()}\n")
    (home / "transcripts.txt").write_text("".join(lines))
    given = ["--corpus", str(home), "--dictionary", str(tones.write_lexicon(tmp_path / "dictionary.txt"))]
    places = ["--data", str(tmp_path / "data"), "--exp", str(tmp_path / "exp")]
    conf = str(ROOT / "egs" / "own" / "conf" / "smoke.yaml")
    few = ["--conf", conf, "--seeds", "0-1", "--gmm", "tri", "--num-jobs", "1"]
    run = [str(ROOT / "egs" / "own" / "run.sh"), *given, *places, *few]
    done = subprocess.run(run, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:] + done.stdout[-1000:]
    for system in ("tri", "members/ensemble", "student"):
        assert word_error_rate(tmp_path, system) < 10
    assert_transcribed(tmp_path)


@pytest.mark.parametrize("recipe", ["an4", "mini_librispeech"])
def test_specialists_are_asked_for_by_seeds(recipe: str, tmp_path: Path) -> None:
    own = [str(ROOT / "egs" / recipe / "run.sh"), "--data", str(tmp_path / "data"), "--exp", str(tmp_path / "exp")]
    done = subprocess.run([*own, "--specialists", "yes"], capture_output=True, text=True)
    assert done.returncode == 1 and "===" not in done.stdout
    expected = "run.sh: --specialists wants seeds of members joined by commas, as 0,1,2; got 'yes'"
    assert done.stderr.splitlines()[-1] == expected


def kill_in(stage: int, seconds: float, recipe: str, folder: Path, begin: int = 0) -> None:
    """Runs a recipe from a stage until so many seconds into another, and kills it."""
    log = folder.with_suffix(f".{stage}.log")
    with open(log, "w") as out:
        run = [*command(recipe, folder), "--stage", str(begin)]
        process = subprocess.Popen(run, stdout=out, stderr=out, start_new_session=True)
    while f"=== stage {stage}:" not in log.read_text():
        assert process.poll() is None, log.read_text()[-3000:]
        time.sleep(0.05)
    time.sleep(seconds)
    os.killpg(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, log.read_text()[-1000:]


def test_a_recipe_killed_at_any_moment_ends_with_the_same_models(tmp_path: Path) -> None:
    need("yesno")
    calm, killed = tmp_path / "calm", tmp_path / "killed"
    took = {int(n): int(s) for n, s in re.findall(r"=== stage (\d+) took (\d+) s", run_whole("yesno", calm))}
    assert word_error_rate(calm, "mono") < BOUNDS["yesno"]
    moments = random.Random(2015)
    for begin, stage in ((0, 3), (3, 5), (5, 7)):  # GMM, ensemble, student
        kill_in(stage, moments.uniform(0, took[stage]), "yesno", killed, begin)
    run_whole("yesno", killed)
    for model in MODELS:
        prints = [io.read_info(run / "exp" / model)["fingerprint"] for run in (calm, killed)]
        assert prints[0] == prints[1], model
    assert word_error_rate(calm, "student") == word_error_rate(killed, "student")


def test_a_finished_recipe_is_up_to_date_and_other_settings_are_refused(tmp_path: Path) -> None:
    need("yesno")
    stages = ["--stop-stage", "2"]
    for again in (False, True):
        done = subprocess.run([*command("yesno", tmp_path), *stages], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert ("up to date" in done.stderr) == again
    other = [*command("yesno", tmp_path), *stages, "--stage", "2", "--set", "lm.order=2"]
    refused = subprocess.run(other, capture_output=True, text=True)
    assert refused.returncode == 1
    assert "options.order" in refused.stderr and "--overwrite" in refused.stderr
    assert "resume with" in refused.stdout + refused.stderr


def test_soft_targets_are_plugged_into_a_recipe_of_another_shape(tmp_path: Path) -> None:
    """CTC on lhotse cuts: from a clean folder to a table; then all of it is up to date."""
    need("an4")
    places = ["--data", str(tmp_path / "data"), "--exp", str(tmp_path / "exp")]
    few = ["--corpus", str(write_an4(tmp_path / "corpus")), "--seeds", "0-1", "--student-seeds", "0-0"]
    conf = ["--conf", str(ROOT / "egs" / "an4_ctc" / "conf" / "smoke.yaml")]
    run = [str(ROOT / "egs" / "an4_ctc" / "run.sh"), *places, *few, *conf]
    done = subprocess.run(run, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:] + done.stdout[-1000:]
    info = io.read_info(tmp_path / "exp" / "soft_targets")
    assert info["frame_shift"] == 0.04 and len(info["teachers"]) == 2
    made = io.read_info(tmp_path / "exp" / "soft" / "seed-0")
    assert made["inputs"]["attached"] == io.read_info(tmp_path / "exp" / "attached")["fingerprint"]
    table = (tmp_path / "exp" / "results.md").read_text()
    assert re.search(r"\| CTC and soft targets \| 1 \| .* \| \d+\.\d\d \[\d+ / \d+\] \|", table)
    again = subprocess.run([*run, "--stage", "4", "--stop-stage", "5"], capture_output=True, text=True)
    assert again.returncode == 0 and again.stderr.count("up to date") == 3, again.stderr[-3000:]
    other = subprocess.run([*run, "--stage", "5", "--set", "distill.temperature=3"], capture_output=True, text=True)
    assert other.returncode == 1 and "distill.temperature" in other.stderr
    mistyped = subprocess.run([*run, "--stage", "5", "--set", "train.epoch=3"], capture_output=True, text=True)
    assert mistyped.returncode == 1 and "train.py: --set train.epoch=3: unknown option of train" in mistyped.stderr


@pytest.mark.parametrize("option", ["--seeds", "--student-seeds"])
@pytest.mark.parametrize("seeds", ["3", "3-0", "a-b", "08-07"])
def test_seeds_that_are_no_range_are_told(option: str, seeds: str) -> None:
    done = subprocess.run([str(ROOT / "egs" / "an4_ctc" / "run.sh"), option, seeds], capture_output=True, text=True)
    told = f"run.sh: {option} wants a range such as 0-3, got '{seeds}'\n"
    assert done.returncode == 1 and done.stderr == told
