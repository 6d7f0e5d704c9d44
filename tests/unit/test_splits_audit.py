"""The audit finds what was planted, in every form of file, and nothing else."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsi_tools.cohort import Cohort, Columns, SlideRow, read_cohort
from wsi_tools.errors import DataError, InputError
from wsi_tools.splits import Assignment, Plan, Splits, audit, make_splits, read_any_splits, refuse

COHORT = Cohort(tuple(SlideRow(f"s{n}", f"P{n // 2}") for n in range(8)))  # two slides each


@pytest.fixture
def written(tmp_path):
    def write(name, text):
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return write


def leaks(path, cohort=COHORT, **options):
    return [str(leak) for leak in audit(read_any_splits(path, cohort, **options))]


@given(st.integers(0, 39), st.integers(0, 4))
@settings(deadline=None, max_examples=40)
def test_one_slide_moved_to_another_side_is_found(slide, fold):
    cohort = Cohort(tuple(SlideRow(f"s{n}", f"P{n // 2}") for n in range(40)))
    clean = make_splits(cohort, Plan())
    moved = [
        Assignment(
            0, fold, "val" if each.role == "train" else "train", each.slide_id, each.patient_id
        )
        if (each.fold, each.slide_id) == (fold, f"s{slide}")
        else each
        for each in clean.assignments
    ]
    (leak,) = audit(Splits(tuple(moved)))
    assert (leak.fold, leak.what) == (fold, f"patient P{slide // 2}")


def test_copies_of_one_image_are_found_under_other_names_and_patients():
    splits = Splits((Assignment(0, 0, "train", "a", "A"), Assignment(0, 0, "test", "b", "B")))
    (leak,) = audit(splits, fingerprints={"a": "same", "b": "same"})
    assert str(leak) == "fold 0: the same image is in train (a) and test (b)"
    assert audit(splits, fingerprints={"a": "one", "b": "another"}) == ()


def test_the_cohorts_patients_are_asked_beside_the_files():
    splits = Splits((Assignment(0, 1, "val", "s0", "x"), Assignment(0, 1, "test", "s1", "y")))
    assert audit(splits) == ()
    (leak,) = audit(splits, patient_of=COHORT.patient_of)
    assert str(leak) == "fold 1: patient P0 is in val (s0) and test (s1)"


def test_a_patient_may_change_sides_from_fold_to_fold():
    splits = Splits((Assignment(0, 0, "train", "a", "A"), Assignment(0, 1, "test", "a", "A")))
    assert audit(splits) == ()


def test_a_refusal_names_the_first_few_and_counts_the_others():
    sides = [Assignment(0, f, role, "a", "A") for f in range(7) for role in ("train", "test")]
    with pytest.raises(DataError, match=r"leaks: fold 0: patient A is .*; and 2 more"):
        refuse(audit(Splits(tuple(sides))))


def test_our_file_is_audited_by_its_own_patients(written):
    path = written(
        "s.csv",
        "fold,role,slide_id,patient_id\n0,train,a,A\n0,test,b,A\n1,train,a,A\n1,val,c,C\n",
    )
    assert leaks(path, None) == ["fold 0: patient A is in train (a) and test (b)"]


def test_clams_columns_are_roles_and_their_lengths_differ(written):
    path = written("splits_0.csv", ",train,val,test\n0,s0,s1,s4\n1,s2,,s6\n2,s3,,\n")
    assert leaks(path) == ["fold 0: patient P0 is in train (s0) and val (s1)"]
    assert leaks(path, None, pattern="s.") == []


def test_clams_boolean_form_is_read(written):
    path = written(
        "splits_0_bool.csv",
        ",train,val,test\ns0,True,False,False\ns1,False,False,True\ns2,False,True,False\n",
    )
    assert leaks(path) == ["fold 0: patient P0 is in train (s0) and test (s1)"]


def test_a_file_of_clams_form_may_list_patients(written):
    path = written("splits_0.csv", ",train,val\n0,P0,P1\n1,P2,P0\n")
    assert leaks(path) == ["fold 0: patient P0 is in train (s0) and val (s0)"]


def test_stamps_folds_list_patients(written):
    folds = [
        {"train_patients": ["P0", "P1"], "test_patients": ["P2"]},
        {"train_patients": ["P0", "P2"], "test_patients": ["P2", "P3"]},
    ]
    path = written("splits.json", json.dumps({"splits": folds}))
    assert leaks(path, None) == ["fold 1: patient P2 is in train (P2) and test (P2)"]
    assert leaks(path) == ["fold 1: patient P2 is in train (s4) and test (s4)"]
    images = audit(read_any_splits(path, COHORT), fingerprints={"s1": "same", "s5": "same"})
    assert [str(leak) for leak in images if leak.fold == 0] == [
        "fold 0: the same image is in train (s1) and test (s5)"
    ]


@pytest.mark.parametrize(
    ("name", "text", "error", "reason"),
    [
        ("s.json", "{", DataError, "cannot be read as a split file"),
        ("s.json", '{"folds": []}', DataError, "not STAMP's form"),
        ("s.csv", "a,b\n1,2\n", InputError, "no split file that is known here"),
        ("s.csv", ",train,val\n0,s0,other\n", DataError, "names other, which cohort has not"),
    ],
)
def test_a_file_that_cannot_be_audited_says_why(written, name, text, error, reason):
    with pytest.raises(error, match=reason):
        read_any_splits(written(name, text), COHORT)


def test_a_clam_file_alone_does_not_say_whose_slides_are(written):
    with pytest.raises(InputError, match="does not say whose slide s0 is"):
        read_any_splits(written("s.csv", ",train,val\n0,s0,s1\n"))


def test_clams_own_split_is_clean_and_a_planted_slide_is_found(test_data, written):
    table = test_data / "interop" / "clam_tumor_vs_normal_dummy_clean.csv"
    cohort = read_cohort(table, Columns(patient="case_id"))
    text = (test_data / "interop" / "clam_splits_0.csv").read_text()
    assert leaks(test_data / "interop" / "clam_splits_0.csv", cohort) == []
    planted = written("planted.csv", text.rstrip() + "\n999,,,slide_149\n")
    assert leaks(planted, cohort) == [
        "fold 0: patient patient_139 is in val (slide_148) and test (slide_149)"
    ]


def test_mcats_split_of_blca_lists_cases(test_data):
    splits = read_any_splits(test_data / "survival" / "tcga_blca_splits_0.csv", pattern="^.*$")
    assert len(splits.slides(0, "train")) == 298
    assert len(splits.slides(0, "val")) == 75
    assert audit(splits) == ()
