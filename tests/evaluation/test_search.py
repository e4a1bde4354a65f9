"""The search for settings: what is drawn, who goes on, what is chosen, and going on after an interruption."""

import json
import math
import zlib

import pytest

from topodl import InputError
from topodl.evaluation.failures import TrainingFailedError
from topodl.evaluation.loss_recipes import parse_recipe
from topodl.evaluation.loss_specs import folder_name
from topodl.evaluation.run_folder import METRIC_COLUMNS, RunFolder, read_rows, write_rows
from topodl.evaluation.search import SearchSettings, chosen_recipes, run_search, validation_score
from topodl.evaluation.search_space import Choice, Range, recipe_of, search_space
from topodl.evaluation.search_trials import Outcome, Trial, TrialStore
from topodl.evaluation.settings import RECOMMENDED_LOSSES, StudySettings
from topodl.evaluation.tasks import result_path, trainings_of, unfinished
from topodl.losses import registry

pytest.importorskip("optuna")
SETTINGS = StudySettings.of_protocol("tuned", losses=["ce_dice", "topograph"], device="cpu", iterations=90)
SEARCH = SearchSettings(trials=6, rungs=3, reduction=3, seeds=(101, 102))


def spaces_of(settings):
    return {loss: search_space(loss, settings, spatial_dims=2, regions=False) for loss in settings.losses}


class FakeTrainings:
    """Writes measurements that follow from recipe and length; the errors fall with the length."""

    def __init__(self, broken=(), stop_after=None):
        self.broken, self.left, self.studies, self.trained = broken, stop_after, [], []

    def __call__(self, study, root):
        folder = RunFolder(root)
        self.studies.append(study)
        write_rows(folder.groups, ("ID", "group"), [{"ID": f"{i}", "group": "indistr"} for i in range(4)])
        failed = False
        for task in unfinished(trainings_of(study), study, folder):
            if any(word in task.loss for word in self.broken):
                failed = True
                continue
            if self.left == 0:
                raise KeyboardInterrupt
            self.left = None if self.left is None else self.left - 1
            self.trained.append((task.loss, study.iterations, task.seed))
            rows = [self.row(task, study, i) for i in range(4)]
            write_rows(result_path(folder, study, task), ("ID", *METRIC_COLUMNS), rows)
        if failed:
            raise TrainingFailedError("topodl evaluate: failed")

    @staticmethod
    def row(task, study, i):
        luck = zlib.crc32(task.loss.encode()) % 97 / 97
        values = dict.fromkeys(METRIC_COLUMNS, 1.0)
        values |= {"Betti0Error_mortar": 10 * luck * 90 / study.iterations + i + task.seed / 1000}
        return {"ID": f"{i}", **values, "Dice_mortar": 0.9 + 0.001 * luck}


def searched(root, train, settings=SETTINGS, search=SEARCH):
    return run_search(settings, search, spaces_of(settings), RunFolder(root), train)


def trials_of(root, settings=SETTINGS):
    store = TrialStore(RunFolder(root).search_trials, SEARCH.seeds[0])
    return {loss: store.trials(loss) for loss in settings.losses}


def test_sizes_and_lengths_by_hand():
    assert SearchSettings(trials=12).sizes() == [12, 4, 2]
    assert SearchSettings(trials=27, rungs=3).sizes() == [27, 9, 3]
    assert SearchSettings(trials=1, rungs=2).sizes() == [1, 1]
    assert SearchSettings().iterations(400) == [44, 133, 400]
    assert SearchSettings(rungs=1).iterations(7) == [7]


def test_each_rung_halves_and_the_best_of_the_last_is_chosen(tmp_path):
    train = FakeTrainings()
    assert searched(tmp_path, train)
    assert [study.iterations for study in train.studies] == [10, 30, 90]
    assert all(study.measured_split == "val" and study.seeds == (101, 102) for study in train.studies)
    trials = trials_of(tmp_path)
    for loss, drawn in trials.items():
        assert [sum(len(t.outcomes) > rung for t in drawn) for rung in range(3)] == [6, 2, 2]
        assert [t.state for t in drawn].count("pruned") == 4
        assert drawn[0].recipe == loss  # the defaults
        first = sorted(drawn, key=lambda t: (t.outcomes[0].score, t.number))
        assert {t.number for t in first[:2]} == {t.number for t in drawn if len(t.outcomes) == 3}
        last = [t for t in drawn if t.state == "complete"]
        best = min(last, key=lambda t: (t.outcomes[-1].score, t.number))
        assert chosen_recipes(trials)[loss] == best.recipe
    rows = read_rows(RunFolder(tmp_path).search_csv)
    assert len(rows) == 2 * (6 + 2 + 2)
    assert {row["loss"]: row["recipe"] for row in rows if row["chosen"] == "1"} == chosen_recipes(trials)


def test_a_search_that_is_interrupted_ends_as_one_that_is_not(tmp_path):
    assert searched(tmp_path / "whole", FakeTrainings())
    trained = []
    for _ in range(40):
        train = FakeTrainings(stop_after=3)
        try:
            done = searched(tmp_path / "parts", train)
        except KeyboardInterrupt:
            done = False
        trained += train.trained
        if done:
            break
    assert done
    assert len(set(trained)) == len(trained)  # none twice
    whole, parts = (RunFolder(tmp_path / name).search_csv.read_bytes() for name in ("whole", "parts"))
    assert whole == parts
    again = FakeTrainings()
    assert searched(tmp_path / "parts", again)
    assert not again.studies


def test_more_losses_go_on_with_the_same_search(tmp_path):
    assert searched(tmp_path, FakeTrainings())
    before = trials_of(tmp_path)
    losses = ["ce_dice", "topograph", "scnp(topograph)"]
    more = StudySettings.of_protocol("tuned", losses=losses, device="cpu", iterations=90)
    train = FakeTrainings()
    assert searched(tmp_path, train, more)
    assert all("scnp(topograph)" in loss for loss, *_ in train.trained)
    assert trials_of(tmp_path) == before


def test_a_training_that_fails_ends_its_trial_and_not_the_search(tmp_path):
    assert searched(tmp_path, FakeTrainings(broken=["scnp"]))
    drawn = trials_of(tmp_path)["topograph"]
    broken = [t for t in drawn if "scnp" in t.recipe]
    assert broken
    for trial in broken:
        assert trial.state == "fail"
        assert [(o.score, o.fault) for o in trial.outcomes] == [(math.inf, "the training failed")]
    assert "scnp" not in chosen_recipes({"topograph": drawn})["topograph"]


def test_if_all_fail_there_is_nothing_to_choose(tmp_path):
    assert searched(tmp_path, FakeTrainings(broken=["topograph"]))
    with pytest.raises(InputError, match="all trials of topograph failed"):
        chosen_recipes(trials_of(tmp_path))


def test_what_others_have_under_way_leaves_the_search_unfinished(tmp_path):
    assert searched(tmp_path, lambda study, root: None) is False
    assert not RunFolder(tmp_path).search_csv.exists()


def test_the_score_by_hand():
    assert validation_score([0.0, 0.0], 0.9, 0.9) == 0.0
    assert validation_score([math.e - 1, 0.0], 0.895, 0.9) == pytest.approx(1.0)
    assert validation_score([0.0, 0.0], 0.87, 0.9) == pytest.approx(2.0)
    assert validation_score([0.0, 0.0], 0.95, 0.9) == 0.0


def test_a_longer_rung_counts_before_a_better_score():
    short = Trial("x", 0, "a", "pruned", (Outcome(1, 0.1, (), 0.9),))
    long = Trial("x", 1, "b", "complete", (Outcome(1, 0.2, (), 0.9), Outcome(2, 0.3, (), 0.9)))
    assert chosen_recipes({"x": [short, long]}) == {"x": "b"}


def test_the_space_of_cross_entropy_and_of_others():
    space = search_space("betti_matching", SETTINGS, spatial_dims=2, regions=False)
    assert space["topology_weight"] == Range(0.001, 0.0001, 0.01)
    assert space["filtration"] == Choice(("superlevel", "sublevel", "both"))
    assert {
        "schedule",
        "hole_weight",
        "connectivity",
        "scnp",
        "learning_rate",
        "augmentation",
    } <= space.keys()
    volumes = search_space("betti_matching", SETTINGS, spatial_dims=3, regions=True)
    assert "foreground_weight" not in volumes
    assert volumes["connectivity"].values == (26, 6)
    fixed = search_space(
        "topograph:connectivity=4@learning_rate=0.01", SETTINGS, spatial_dims=2, regions=False
    )
    assert not {"connectivity", "learning_rate"} & fixed.keys()
    late = search_space("topograph:active_from=0.2", SETTINGS, spatial_dims=2, regions=False)
    assert "schedule" not in late
    values = {"schedule": "late", "hole_weight": 2.0}
    assert recipe_of(
        "topo_loss", search_space("topo_loss", SETTINGS, spatial_dims=2, regions=False), values
    ) == ("topo_loss:active_from=0.5,dimension_weights=[1.0,2.0]")
    combined = search_space("scnp(topograph)", SETTINGS, spatial_dims=2, regions=False)
    assert combined.keys() == {"learning_rate", "augmentation", "foreground_weight"}


@pytest.mark.parametrize("loss", sorted({*registry, *RECOMMENDED_LOSSES} - {"mosin", "cavity"}))
def test_all_that_may_be_drawn_is_a_loss_with_a_name_for_a_folder(loss, tmp_path):
    space = search_space(loss, SETTINGS, spatial_dims=2, regions=False)
    assert recipe_of(loss, space, {name: values.default for name, values in space.items()}) == loss
    drawn = TrialStore(tmp_path / "trials.log", 5).draw(loss, space, 4)
    longest = {n: v.values[-1] if isinstance(v, Choice) else v.high / 1.23456 for n, v in space.items()}
    for text in [*(trial.recipe for trial in drawn), recipe_of(loss, space, longest)]:
        assert str(parse_recipe(text)) == text
        assert len(folder_name(text)) < 240
        parse_recipe(text).build(lambda single: single.build())
    assert TrialStore(tmp_path / "other.log", 5).draw(loss, space, 4) == drawn


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"trials": 0}, "trials is 0"),
        ({"rungs": 0}, "rungs is 0"),
        ({"reduction": 1}, "reduction is 1"),
        ({"seeds": ()}, "search_seeds is empty; expected at least one"),
        ({"seeds": (3, 3)}, "search_seeds is 3 3; expected at least one, each once"),
        ({"seeds": (-1,)}, "search_seeds is -1"),
    ],
)
def test_settings_of_the_search_are_checked(values, message):
    with pytest.raises(InputError, match=message):
        SearchSettings(**values)


def test_a_study_that_is_tuned_first(tmp_path):
    from topodl.evaluation.report import build_report
    from topodl.evaluation.tuned import run_tuned_study

    values = {"image_size": 32, "iterations": 4, "batch_size": 2, "test_images": 1, "training_set": "small",
              "device": "cpu", "losses": ["skeleton_recall"], "augmentation": "none"}  # fmt: skip
    settings = StudySettings.of_protocol("tuned", **values, seeds=[1])
    search = SearchSettings(trials=2, rungs=1)
    with pytest.raises(InputError, match="search_seeds has 1, a seed of the study"):
        run_tuned_study(settings, tmp_path, search=SearchSettings(seeds=(1,)))
    folder = run_tuned_study(settings, tmp_path / "study", search=search)
    stored = folder.read_settings()["settings"]
    chosen = {row["loss"]: row["recipe"] for row in read_rows(folder.search_csv) if row["chosen"] == "1"}
    assert stored["losses"] == [chosen["ce_dice"], chosen["skeleton_recall"]]
    assert (stored["measured_split"], stored["seeds"]) == ("test", [1])
    rung = RunFolder(folder.search_rung(0))
    assert rung.read_settings()["settings"]["measured_split"] == "val"
    tested, validated = ({p.read_bytes() for p in (f.root / "inputs").iterdir()} for f in (folder, rung))
    assert len(validated) == 6
    assert tested.isdisjoint(validated)
    text = build_report([folder.root]).with_name("results.md").read_text(encoding="utf-8")
    assert "Settings chosen in validation" in text
    with pytest.raises(InputError, match="trials of the search is 3 now and was 2"):
        run_tuned_study(settings, folder.root, search=SearchSettings(trials=3, rungs=1))
    assert json.loads(folder.search_settings.read_text())["search"]["trials"] == 2
