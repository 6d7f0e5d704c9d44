"""Splits: what holds of every one, and of the real ones."""

import zipfile
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsi_tools.cohort import (
    Classification,
    Cohort,
    Columns,
    SlideRow,
    Survival,
    event_coding,
    read_cohort,
)
from wsi_tools.errors import DataError, InputError
from wsi_tools.splits import (
    Assignment,
    Plan,
    Splits,
    audit,
    groups_of,
    held_out,
    lacking,
    make_splits,
    parts,
    read_splits,
    site_counts,
    sites_of,
    training_folds,
    write_splits,
)
from wsi_tools.splits.sites import deal_sites

CLASSES = ("a", "b", "c")


def cohort_of(patients, sites=None):
    """A cohort from (class, number of slides) of each patient."""
    rows = tuple(
        SlideRow(
            f"p{number}-s{each}", f"p{number}", "", {"site": str((sites or {}).get(number))}, y
        )
        for number, (y, slides) in enumerate(patients)
        for each in range(slides)
    )
    return Cohort(rows, Classification("label", CLASSES))


def even(patients=30, slides=2):
    return cohort_of([(number % 2, slides) for number in range(patients)])


PATIENTS = st.lists(st.tuples(st.integers(0, 2), st.integers(1, 4)), min_size=5, max_size=60)
COHORTS = st.builds(cohort_of, PATIENTS)
PLANS = st.builds(
    Plan,
    folds=st.integers(2, 5),
    val=st.floats(0, 0.45),
    repeats=st.integers(1, 2),
    seed=st.integers(0, 9),
)


def members(splits, repeat, fold, role):
    return {
        each.patient_id
        for each in splits.assignments
        if (each.repeat, each.fold, each.role) == (repeat, fold, role)
    }


@given(COHORTS, PLANS)
@settings(deadline=None, max_examples=60)
def test_every_split_keeps_patients_whole_and_tests_every_slide_once(cohort, plan):
    splits = make_splits(cohort, plan)
    assert audit(splits) == ()
    every = sorted(slide.slide_id for slide in cohort.slides)
    for repeat in range(plan.repeats):
        tested = [s for fold in range(plan.folds) for s in splits.slides(fold, "test", repeat)]
        assert sorted(tested) == every
        for fold in range(plan.folds):
            roles = [splits.slides(fold, role, repeat) for role in ("train", "val", "test")]
            assert sorted(sum(roles, ())) == every
            assert roles[0]


@given(COHORTS, PLANS)
@settings(deadline=None, max_examples=60)
def test_test_folds_differ_by_one_patient_of_each_class_at_most(cohort, plan):
    splits, groups = make_splits(cohort, plan), groups_of(cohort)
    tests = [part for part in parts(splits, groups) if part.role == "test" and part.repeat == 0]
    sizes = [part.patients for part in tests]
    assert max(sizes) - min(sizes) <= 1
    for group in set(groups.values()):
        counts = [part.groups[group] for part in tests]
        assert max(counts) - min(counts) <= 1


@given(COHORTS, PLANS)
@settings(deadline=None, max_examples=60)
def test_validation_has_its_share_of_each_class_and_training_no_class_less_than_it_could(
    cohort, plan
):
    splits, groups = make_splits(cohort, plan), groups_of(cohort)
    for repeat, fold in splits.places:
        train, val = (members(splits, repeat, fold, role) for role in ("train", "val"))
        rest = Counter(groups[patient] for patient in train | val)
        rate = round(plan.val * len(groups)) / (len(train) + len(val))
        assert {groups[patient] for patient in train} == set(rest)
        for group, count in Counter(groups[patient] for patient in val).items():
            assert count <= rate * rest[group] + 1
            assert count >= min(rate, 1) * rest[group] - 2


@given(COHORTS, st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=30)
def test_a_split_does_not_depend_on_the_order_of_the_rows(cohort, random):
    rows = list(cohort.slides)
    random.shuffle(rows)
    once = make_splits(cohort, Plan(folds=3)).assignments
    again = make_splits(replace(cohort, slides=tuple(rows)), Plan(folds=3)).assignments
    assert set(once) == set(again)


def test_a_split_is_these_patients_on_every_machine():
    splits = make_splits(even(12, 1), Plan(folds=3, seed=7))
    tests = [sorted(members(splits, 0, fold, "test")) for fold in range(3)]
    assert tests == [["p1", "p3", "p4", "p6"], ["p11", "p2", "p5", "p8"], ["p0", "p10", "p7", "p9"]]


def test_another_seed_and_another_repeat_are_other_splits():
    cohort = even()
    tests = {
        frozenset(members(make_splits(cohort, Plan(repeats=2, seed=seed)), repeat, 0, "test"))
        for seed in (0, 1)
        for repeat in (0, 1)
    }
    assert len(tests) == 4


def test_further_columns_are_balanced_too():
    cohort = cohort_of([(number % 2, 1) for number in range(40)], {n: n // 20 for n in range(40)})
    splits = make_splits(cohort, Plan(folds=5, stratify=("site",)))
    both = {
        patient: f"{y} {site}"
        for (patient, y), site in zip(
            groups_of(cohort).items(), sites_of(cohort, "site").values(), strict=True
        )
    }
    for fold in range(5):
        found = Counter(both[patient] for patient in members(splits, 0, fold, "test"))
        assert found == {"a 0": 2, "b 0": 2, "a 1": 2, "b 1": 2}
    with pytest.raises(InputError, match="no column 'sex' to stratify by"):
        make_splits(cohort, Plan(stratify=("sex",)))


def test_a_class_of_one_patient_is_told_where_it_lacks():
    cohort = cohort_of([(0, 1)] * 9 + [(1, 1)])
    splits = make_splits(cohort, Plan(folds=2, val=0.2))
    alone = next(fold for fold in (0, 1) if "p9" in members(splits, 0, fold, "test"))
    told = list(lacking(splits, groups_of(cohort)))
    assert f"fold {alone}: no patient of b in train" in told
    assert f"fold {1 - alone}: no patient of b in test" in told
    assert f"fold {1 - alone}: no patient of b in train" not in told


def test_fixed_epochs_need_no_validation_part():
    splits = make_splits(even(), Plan(val=0))
    assert {each.role for each in splits.assignments} == {"train", "test"}


@pytest.mark.parametrize(
    "numbers", [{"folds": 1}, {"repeats": 0}, {"val": 0.8}, {"val": -0.1}, {"folds": 2, "val": 0.5}]
)
def test_a_plan_that_leaves_nothing_to_train_on_is_a_usage_error(numbers):
    with pytest.raises(InputError):
        Plan(**numbers)


def test_more_folds_than_patients_or_sites_are_an_error():
    with pytest.raises(DataError, match="4 patients cannot fill 5 folds; ask for --folds 4"):
        make_splits(even(4), Plan())
    cohort = cohort_of([(n % 2, 1) for n in range(12)], {n: n % 3 for n in range(12)})
    with pytest.raises(DataError, match="3 sites cannot fill 5 folds; ask for --folds 3"):
        make_splits(cohort, Plan(site="site"))


@given(PATIENTS, st.integers(2, 4), st.data())
@settings(deadline=None, max_examples=25)
def test_sites_are_tested_whole_and_every_fold_tests_one(patients, folds, data):
    site = st.integers(0, 6)
    sites = {n: n if n < folds else data.draw(site) for n in range(len(patients))}
    cohort = cohort_of(patients, sites)
    splits = make_splits(cohort, Plan(folds=folds, site="site"))
    of_patient = sites_of(cohort, "site")
    counts = list(site_counts(splits, of_patient, groups_of(cohort)))
    assert all(len(each.folds) == 1 for each in counts)
    assert {each.folds[0] for each in counts} == set(range(folds))
    assert sum(each.patients for each in counts) == len(patients)


def test_sites_that_can_be_divided_evenly_are():
    """Eight sites of unequal sizes and mixtures that fit into two equal folds."""
    sizes = {
        "A": (5, 1),
        "B": (1, 5),
        "C": (4, 4),
        "D": (2, 2),
        "E": (3, 0),
        "F": (0, 3),
        "G": (6, 3),
        "H": (3, 6),
    }
    names = {f"{s}{y}{n}": (s, y) for s, c in sizes.items() for y in (0, 1) for n in range(c[y])}
    sites = {name: site for name, (site, _) in names.items()}
    kinds = {name: str(y) for name, (_, y) in names.items()}
    fold_of = deal_sites(sites, [kinds], 2, "0")
    found = Counter((fold_of[name], kinds[name]) for name in names)
    assert found == {(0, "0"): 12, (0, "1"): 12, (1, "0"): 12, (1, "1"): 12}


def test_a_patient_has_one_site():
    rows = tuple(SlideRow(f"s{n}", "p", "t.csv: line 2", {"site": str(n)}) for n in range(2))
    with pytest.raises(DataError, match=r"t.csv: line 2: patient p has not one site"):
        sites_of(Cohort(rows), "site")
    with pytest.raises(InputError, match="no column 'hospital'"):
        sites_of(Cohort(rows), "hospital")


def test_a_fold_holds_training_and_validation_and_the_test_is_elsewhere():
    cohort = even()
    splits = make_splits(cohort, Plan())
    for fold in training_folds(splits, cohort):
        seen = {case.case_id for case in (*fold.train, *fold.val)}
        test = {case.case_id for case in held_out(splits, cohort, fold.number)}
        assert seen | test == {slide.slide_id for slide in cohort.slides}
        assert not seen & test
        assert test.isdisjoint(str(fold).split("'"))


def test_patients_are_cases_with_all_their_slides():
    cohort = even(10, 3)
    (first, *_) = training_folds(make_splits(cohort, Plan()), cohort, "patient")
    assert all(len(case.slides) == 3 for case in first.train)
    assert len(first.train) + len(first.val) == 8


def test_a_split_that_leaks_by_the_cohorts_account_is_refused():
    cohort = Cohort((SlideRow("s1", "P"), SlideRow("s2", "P"), SlideRow("s3", "Q")))
    splits = Splits(
        (
            Assignment(0, 0, "train", "s1", "s1"),
            Assignment(0, 0, "test", "s2", "s2"),
            Assignment(0, 0, "train", "s3", "s3"),
        )
    )
    with pytest.raises(DataError, match=r"fold 0: patient P is in train \(s1\) and test \(s2\)"):
        training_folds(splits, cohort)


def test_a_split_of_another_cohort_is_refused():
    cohort = even()
    splits = make_splits(cohort, Plan())
    smaller = cohort.only({slide.slide_id for slide in cohort.slides[2:]})
    with pytest.raises(DataError, match="names 2 slides that cohort has not, such as p0-s0"):
        training_folds(splits, smaller)
    kept = splits.only({slide.slide_id for slide in smaller.slides})
    assert len(training_folds(kept, smaller)) == 5
    with pytest.raises(InputError, match="--fold 5: the split has no such fold"):
        held_out(splits, cohort, 5)


def test_a_fold_with_nothing_to_train_on_is_refused():
    splits = Splits((Assignment(0, 0, "test", "p0-s0", "p0"),))
    with pytest.raises(DataError, match="fold 0: no case to train on"):
        training_folds(splits, even())


@pytest.mark.parametrize("repeats", [1, 2])
def test_a_split_survives_its_file(tmp_path, repeats):
    splits = make_splits(even(), Plan(repeats=repeats))
    write_splits(tmp_path / "new" / "s.csv", splits)
    header = (tmp_path / "new" / "s.csv").read_text().splitlines()[0]
    assert header == "fold,role,slide_id,patient_id" + ",repeat" * (repeats - 1)
    assert read_splits(tmp_path / "new" / "s.csv") == splits


def test_another_split_is_not_overwritten_unless_that_is_said(tmp_path):
    path, splits = tmp_path / "s.csv", make_splits(even(), Plan())
    write_splits(path, splits)
    write_splits(path, splits)
    other = make_splits(even(), Plan(seed=1))
    with pytest.raises(DataError, match="another split is there"):
        write_splits(path, other)
    write_splits(path, other, overwrite=True)
    assert read_splits(path) == other


@pytest.mark.parametrize("row", ["x,train,s,p", "0,tests,s,p", "0,train,,p", "-1,train,s,p"])
def test_a_row_that_is_no_assignment_is_named_by_its_line(tmp_path, row):
    (tmp_path / "s.csv").write_text(f"fold,role,slide_id,patient_id\n{row}\n")
    with pytest.raises(DataError, match=r"s.csv: line 2: not a fold from 0"):
        read_splits(tmp_path / "s.csv")


@pytest.fixture(scope="module")
def blca(test_data, tmp_path_factory):
    path = tmp_path_factory.mktemp("blca") / "blca.csv"
    with zipfile.ZipFile(test_data / "survival" / "tcga_blca_all_clean.csv.zip") as archive:
        path.write_bytes(archive.read(archive.namelist()[0]))
    target = Survival("survival_months", event_coding(censored="censorship=1"))
    return read_cohort(path, Columns(patient="case_id"), target=target)


def test_blca_is_balanced_by_events_of_patients(blca):
    splits = make_splits(blca, Plan(seed=0))
    tests = [part for part in parts(splits, groups_of(blca)) if part.role == "test"]
    assert sorted(part.patients for part in tests) == [74, 74, 75, 75, 75]
    assert sorted(part.groups["event"] for part in tests) == [33, 34, 34, 34, 34]
    vals = [part for part in parts(splits, groups_of(blca)) if part.role == "val"]
    assert {(part.patients, part.groups["event"]) for part in vals} == {(56, 26)}


def test_the_sites_of_blca_stay_whole_and_folds_nearly_even(blca):
    splits = make_splits(blca, Plan(site="site"))
    counts = list(site_counts(splits, sites_of(blca, "site"), groups_of(blca)))
    assert len(counts) == 33
    assert all(len(each.folds) == 1 for each in counts)
    tests = [part for part in parts(splits, groups_of(blca)) if part.role == "test"]
    assert all(abs(part.patients - 373 / 5) <= 4 for part in tests)
    assert all(abs(part.groups["event"] - 169 / 5) <= 6 for part in tests)
