"""Options: default < file < command line; what is unknown or ill-typed stops with the nearest known name."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from kdasr import config
from kdasr.refusal import Refusal


@dataclass(frozen=True)
class Options:
    epochs: int = 10
    rate: float = 0.1
    name: str = "sgd"
    rounds: tuple[int, ...] = (1, 2)
    nesterov: bool = False

    def __post_init__(self) -> None:
        if self.epochs < 1:
            raise ValueError(f"epochs must be at least 1, found {self.epochs}")


@pytest.fixture
def conf(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text("train: {epochs: 20, rate: 0.5}\nlm: {order: 3}\n")
    return path


def resolve(conf=None, *overrides: str) -> Options:
    return config.resolve(Options, "train", conf, overrides, ("train", "lm"))


def test_default_then_file_then_command_line(conf):
    assert resolve() == Options()
    assert resolve(conf) == Options(epochs=20, rate=0.5)
    assert resolve(conf, "train.epochs=30") == Options(epochs=30, rate=0.5)
    assert resolve(conf, "train.epochs=30", "train.epochs=31").epochs == 31


def test_values_are_typed(conf):
    options = resolve(None, "train.rate=1e-3", "train.rounds=[3, 4]", "train.nesterov=true", "train.name=adam")
    assert options.rate == 0.001 and list(options.rounds) == [3, 4] and options.nesterov and options.name == "adam"
    assert isinstance(resolve(None, "train.rate=1").rate, float)


def test_other_sections_are_passed_over_but_must_be_known(conf):
    assert resolve(None, "lm.order=4") == Options()
    with pytest.raises(Refusal, match="--set trian.epochs=3: unknown section 'trian'; did you mean 'train'?"):
        resolve(None, "trian.epochs=3")
    conf.write_text("tarin: {epochs: 3}\n")
    with pytest.raises(Refusal, match="x.yaml: unknown section 'tarin'; did you mean 'train'?"):
        resolve(conf)


def test_an_unknown_key_stops_with_the_nearest_name(conf):
    conf.write_text("train: {epoch: 3}\n")
    with pytest.raises(Refusal, match="x.yaml: unknown option of train 'epoch'; did you mean 'epochs'?"):
        resolve(conf)
    with pytest.raises(Refusal, match="--set train.zzz=3: unknown option of train 'zzz'; known: epochs, name, "):
        resolve(None, "train.zzz=3")
    with pytest.raises(Refusal, match="unknown option of train 'rate.x'"):
        resolve(None, "train.rate.x=3")


def test_an_ill_typed_value_is_refused_with_the_type(conf):
    told = "--set train.epochs=many: train.epochs has the wrong type .expected int, found 'many'"
    with pytest.raises(Refusal, match=told):
        resolve(None, "train.epochs=many")
    with pytest.raises(Refusal, match="train.rounds has the wrong type .expected tuple"):
        resolve(None, "train.rounds=3")
    with pytest.raises(Refusal, match="train.epochs has the wrong type"):
        resolve(None, "train.epochs=1.5")


def test_a_value_out_of_range_is_refused():
    with pytest.raises(Refusal, match="^train: epochs must be at least 1, found 0$"):
        resolve(None, "train.epochs=0")


@pytest.mark.parametrize("value", [".nan", ".inf", "-.inf", "nan"])
def test_a_value_that_is_not_finite_is_refused(value):
    with pytest.raises(Refusal, match="^train: rate is not a finite number .found "):
        resolve(None, f"train.rate={value}")


@pytest.mark.parametrize("override", ["epochs=3", "train.epochs", "train.=3", "train"])
def test_what_is_no_override_is_refused(override):
    with pytest.raises(Refusal, match=f"--set {override}: not an override .expected --set section.name=value"):
        resolve(None, override)


def test_a_value_that_is_no_yaml_is_refused():
    with pytest.raises(Refusal, match=r"--set train.rounds=\[1: not a YAML value .found while parsing"):
        resolve(None, "train.rounds=[1")


@pytest.mark.parametrize(
    "content, told",
    [
        (b"train: {epochs: 3", "not a YAML file"),
        (b"\xff\xfe\x00", "not a YAML file"),
        (b"- train", "not a table of sections .expected section: {name: value}, found list"),
        (b"train: 3", "section train is not a table .found 3"),
    ],
)
def test_a_file_that_is_no_table_of_sections_is_refused(conf, content, told):
    conf.write_bytes(content)
    with pytest.raises(Refusal, match=f"x.yaml: {told}"):
        resolve(conf)


def test_an_absent_file_is_refused_an_empty_one_is_defaults(conf, tmp_path):
    with pytest.raises(Refusal, match="y.yaml: no such file; name a YAML file with --conf"):
        resolve(tmp_path / "y.yaml")
    for content in ("", "train:\n", "# nothing\n"):
        conf.write_text(content)
        assert resolve(conf) == Options()


def test_a_part_of_the_file_wins_over_the_file(conf):
    conf.write_text("train: {epochs: 20, rate: 0.5}\nparts:\n  small: {train: {epochs: 5}}\n  plain: {}\n")

    def epochs_and_rate(part, *overrides):
        options = config.resolve(Options, "train", conf, overrides, ("train", "lm"), part)
        return options.epochs, options.rate

    assert epochs_and_rate(None) == epochs_and_rate("plain") == (20, 0.5)
    assert epochs_and_rate("small") == (5, 0.5)
    assert epochs_and_rate("small", "train.epochs=6") == (6, 0.5)


@pytest.mark.parametrize(
    "text, part, line",
    [
        ("parts: {small: {}}", "smal", "--part of .*: unknown part 'smal'; did you mean 'small'"),
        ("parts: {small: {tarin: {}}}", None, "unknown section 'tarin'; did you mean 'train'"),
        ("parts: {small: 3}", None, "parts.small is not a table .found 3"),
        ("parts: 3", None, "parts is not a table .found 3"),
    ],
)
def test_bad_parts_are_refused(conf, text, part, line):
    conf.write_text(text)
    with pytest.raises(Refusal, match=line):
        config.resolve(Options, "train", conf, (), ("train", "lm"), part)


def test_a_part_wants_its_file():
    with pytest.raises(Refusal, match="--part small: a part of no file; name the YAML file with --conf"):
        config.resolve(Options, "train", None, (), ("train",), "small")
