import pytest

from wsi_tools.cohort import Case, Classification, Cohort, Columns, read_cohort, slide_name
from wsi_tools.errors import DataError, InputError

GRADE = Classification("grade")


def test_slides_files_and_paths_are_the_same_slides():
    assert slide_name("case.svs") == "case"
    assert slide_name("a/b/case.ome.tiff") == "case"
    assert slide_name(r"C:\slides\case.NDPI") == "case"
    assert slide_name("case.h5") == "case"
    assert slide_name("TCGA-2F-A9KO-01Z.195576CF-B739") == "TCGA-2F-A9KO-01Z.195576CF-B739"


def test_columns_may_have_other_names(table):
    path = table("file,case,grade\nx/a.svs,P1,high\nb.svs,P2,low\n")
    cohort = read_cohort(path, Columns("file", "case"), target=GRADE)
    assert [(s.slide_id, s.patient_id, s.value) for s in cohort.slides] == [
        ("a", "P1", 0),
        ("b", "P2", 1),
    ]


def test_the_patient_may_stand_in_the_slides_name(table):
    path = table("slide_id\nTCGA-01-0001-DX1\nTCGA-01-0001-DX2\nTCGA-02-0002-DX1\n")
    columns = Columns(patient_from=r"^(TCGA-..-....)")
    patients = read_cohort(path, columns).patients
    assert [(p.patient_id, len(p.slides)) for p in patients] == [
        ("TCGA-01-0001", 2),
        ("TCGA-02-0002", 1),
    ]
    with pytest.raises(DataError, match="slide TCGA-01-0001-DX1: --patient-from Z finds no pat"):
        read_cohort(path, Columns(patient_from="Z"))
    with pytest.raises(InputError, match=r"--patient-from \(: "):
        read_cohort(path, Columns(patient_from="("))


def test_two_tables_are_joined_by_the_patient(table):
    patients = table("patient_id,grade,age\nP2,low,50\nP1,high,\nP9,low,3\n", "patients.csv")
    slides = table("slide_id,patient_id,stain\na,P1,HE\nb,P2,HE\nc,P1,IHC\n", "slides.csv")
    cohort = read_cohort(patients, target=GRADE, slides=slides)
    cases = cohort.cases("patient")
    assert [(case.case_id, case.slides, case.value) for case in cases] == [
        ("P1", ("a", "c"), 0),
        ("P2", ("b",), 1),
    ]
    assert cases[1].cells == {
        "slide_id": "b",
        "patient_id": "P2",
        "stain": "HE",
        "grade": "low",
        "age": "50",
    }
    assert cohort.slides[0].where == "patients.csv: line 3"


def test_two_tables_may_be_joined_by_the_slides_name(table):
    patients = table("patient_id,grade\nP1,high\nP2,low\n", "patients.csv")
    slides = table("slide_id\nP1-a\nP2-a\n", "slides.csv")
    cohort = read_cohort(patients, Columns(patient_from="^P."), target=GRADE, slides=slides)
    assert [slide.value for slide in cohort.slides] == [0, 1]


@pytest.mark.parametrize(
    ("patients", "slides", "reason"),
    [
        ("P1,a\nP1,b\n", "s,P1\n", "patients.csv: line 3: patient P1 is on line 2 too"),
        ("P1,a\n", "s,P2\n", r"slides.csv: line 2: patient P2 is not in patients.csv"),
        ("P1,a\n,b\n", "s,P1\n", "patients.csv: line 3: patient_id is empty"),
        ("P1,a\n", "s,P1\ns,P1\n", r"slides.csv: line 3: slide s is there twice \(slides"),
        ("P1,a\nP2,\n", "s,P1\nt,P2\nu,P1\n", "'grade' holds a alone"),
        ("P1,a\nP2,\nP3,b\n", "s,P1\nt,P2\nu,P3\n", "patients.csv: line 3: grade is missing"),
    ],
)
def test_two_tables_that_do_not_fit_say_where(table, patients, slides, reason):
    with pytest.raises(DataError, match=reason):
        read_cohort(
            table(f"patient_id,grade\n{patients}", "patients.csv"),
            slides=table(f"slide_id,patient_id\n{slides}", "slides.csv"),
            target=GRADE,
        )


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ("a,P1,x\na,P2,y\n", r"line 3: slide a is there twice \(cohort.csv: line 2\)"),
        ("a.svs,P1,x\na,P1,y\n", "line 3: slide a is there twice"),
        (",P1,x\n", "line 2: slide_id is empty"),
        ("a,,x\n", "line 2: patient_id is empty"),
        ("..,P1,x\n", r"line 2: '..' cannot be a slide's name"),
        ("a,P1,x\nb,P2,y\nc,P1,y\n", "line 4: patient P1 has another target with slide c than"),
    ],
)
def test_a_table_that_contradicts_itself_is_a_data_error_with_its_line(table, rows, reason):
    with pytest.raises(DataError, match=reason) as caught:
        read_cohort(table(f"slide_id,patient_id,grade\n{rows}"), target=GRADE)
    assert caught.value.exit_code == 4
    assert "\n" not in str(caught.value)


def test_a_column_that_is_not_there_is_a_usage_error(table):
    path = table("slide_id,label\na,x\n")
    with pytest.raises(InputError, match="no column 'patient_id'") as caught:
        read_cohort(path)
    assert "--patient-from" in str(caught.value)
    with pytest.raises(InputError, match="no column 'slide'; it has slide_id, label"):
        read_cohort(path, Columns(slide="slide"))
    with pytest.raises(InputError, match="no column 'grade'; it has slide_id, label"):
        read_cohort(path, Columns(patient="slide_id"), target=GRADE)


def test_slides_may_have_labels_of_their_own_if_that_is_said(test_data):
    path = test_data / "interop" / "clam_tumor_vs_normal_dummy_clean.csv"
    columns, label = Columns(patient="case_id"), Classification("label")
    with pytest.raises(DataError, match="patient_0 has another target"):
        read_cohort(path, columns, target=label)
    cohort = read_cohort(path, columns, target=label, slide_labels=True)
    assert [case.value for case in cohort.cases("slide")[:2]] == [1, 0]
    with pytest.raises(DataError, match="patient_0 has another target"):
        cohort.cases("patient")


def test_slides_of_which_nothing_is_known_are_cases_without_a_value():
    assert Cohort.of_slides(["a", "b"]).cases() == (Case("a", "a", ("a",)), Case("b", "b", ("b",)))


def test_a_patients_clinical_cell_is_the_first_that_is_there(table):
    path = table("slide_id,patient_id,age\na,P,\nb,P,61\nc,P,62\n")
    assert read_cohort(path).patients[0].cells["age"] == "61"


def test_an_unknown_level_is_a_usage_error():
    with pytest.raises(InputError, match="--level block: choose from slide, patient"):
        Cohort.of_slides(["a"]).cases("block")
