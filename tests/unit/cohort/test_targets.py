import math

import pytest

from wsi_tools.cohort import (
    Classification,
    Columns,
    FollowUp,
    Multilabel,
    Regression,
    Survival,
    event_coding,
    read_cohort,
    summarize,
)
from wsi_tools.cohort.targets import edges
from wsi_tools.errors import DataError, InputError

SINGLE = Columns(patient="slide_id")


def values(path, target):
    return [slide.value for slide in read_cohort(path, SINGLE, target=target).slides]


def follow_ups(path, **coding):
    return values(path, Survival("months", event_coding(**coding)))


def test_classes_are_sorted_and_numbers_by_their_value(table):
    path = table("slide_id,grade,kind\na,10,tumour\nb,2,normal\nc,10,other\n")
    grade = read_cohort(path, SINGLE, target=Classification("grade"))
    assert grade.target.classes == ("2", "10")
    assert [slide.value for slide in grade.slides] == [1, 0, 1]
    assert values(path, Classification("kind")) == [2, 0, 1]


def test_a_given_label_map_keeps_its_order_and_knows_nothing_else(table):
    path = table("slide_id,kind\na,tumour\nb,normal\n")
    assert values(path, Classification("kind", ("tumour", "normal"))) == [0, 1]
    with pytest.raises(DataError, match=r"line 2: kind 'tumour' is no known label; known are x, n"):
        values(path, Classification("kind", ("x", "normal")))


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        (Classification("one"), "'one' holds a alone; two classes are needed"),
        (Classification("gap"), "line 3: gap is missing"),
        (Multilabel(("bit", "one")), "'one' holds a alone"),
        (Multilabel(("bit", "age")), "line 2: age '61' is neither 0 nor 1"),
        (Regression("one"), "is the same everywhere"),
        (Regression("word"), "line 2: word 'x' is no finite number"),
        (Regression("endless"), "line 3: endless 'inf' is no finite number"),
        (Survival("minus", event_coding("bit")), "line 3: minus is -1; a time cannot be negative"),
        (Survival("gap", event_coding("bit")), "line 3: gap is missing"),
        (Survival("age", event_coding("gap=1")), "line 3: gap is missing"),
        (Survival("age", event_coding("bit=7")), "'bit' never is '7'; it holds 0, 1"),
        (Survival("age", event_coding("age")), "age '61' is neither 0 nor 1; say --event age=61"),
        (Survival("age", event_coding(censored="one=a")), "no event at all, everyone is censored"),
    ],
)
def test_a_target_that_cannot_be_learnt_says_why_and_where(table, target, reason):
    path = table(
        "slide_id,one,gap,bit,age,word,endless,minus\n"
        "s1,a,1,0,61,x,1,0\n"
        "s2,a,NaN,1,62,y,inf,-1\n"
        "s3,a,2,1,63,z,3,4\n"
    )
    with pytest.raises(DataError, match=reason) as caught:
        values(path, target)
    assert str(caught.value).startswith("cohort.csv: ")


def test_several_labels_are_a_vector_of_zeros_and_ones(table):
    path = table("slide_id,er,her2\na,1,0\nb,True,1.0\nc,0,false\n")
    target = Multilabel(("er", "her2"))
    assert values(path, target) == [(1, 0), (1, 1), (0, 0)]
    assert target.strata(values(path, target)) == ["er", "er+her2", "none"]


def test_events_and_censored_are_read_as_the_flag_says(table):
    path = table("slide_id,months,vital,dead\na,5,Dead,1\nb,7.5,Alive,0\n")
    expected = [FollowUp(5.0, True), FollowUp(7.5, False)]
    assert follow_ups(path, event="vital=Dead") == expected
    assert follow_ups(path, censored="vital=Alive") == expected
    assert follow_ups(path, event="dead") == expected
    assert follow_ups(path, event="dead=1.0") == expected
    assert follow_ups(path, censored="dead=1") == [FollowUp(5.0, False), FollowUp(7.5, True)]


@pytest.mark.parametrize("column", ["censorship", "cens", "is_censored", "status", "OS_STATUS"])
def test_a_column_that_does_not_say_what_it_holds_needs_a_value(column):
    with pytest.raises(InputError, match=f"give --event {column}=VALUE"):
        event_coding(event=column)
    assert not event_coding(event=f"{column}=1").censored
    assert event_coding(censored=f"{column}=1").censored


def test_one_of_event_and_censored_is_given_and_censored_never_without_its_value():
    with pytest.raises(InputError, match="either --event"):
        event_coding()
    with pytest.raises(InputError, match="either --event"):
        event_coding(event="a=1", censored="b=1")
    with pytest.raises(InputError, match="its name does not say"):
        event_coding(censored="lost")


def test_the_summary_counts_patients_not_slides(table):
    path = table("slide_id,patient_id,months,dead\na,P1,5,1\nb,P1,5,1\nc,P2,9,1\nd,P3,2,0\n")
    told = summarize(read_cohort(path, target=Survival("months", event_coding("dead"))))
    assert (told.events, told.censored) == (2, 1)
    assert (told.median_event_time, told.median_censored_time) == (7.0, 2.0)


def test_a_median_of_nobody_is_not_a_number(table):
    path = table("slide_id,months,dead\na,5,1\nb,6,1\n")
    told = summarize(read_cohort(path, SINGLE, target=Survival("months", event_coding("dead"))))
    assert math.isnan(told.median_censored_time)


def test_time_bins_are_quarters_of_the_times_of_events_and_equal_edges_merge():
    assert edges([1, 2, 3, 4, 5]) == (2.0, 3.0, 4.0)
    assert edges([1, 1, 1, 1, 9]) == (1.0,)
    assert edges([4]) == ()
    target = Survival("months", event_coding("dead"))
    times = [(1, True), (2, True), (3, True), (4, True), (5, True), (2, False), (99, False)]
    assert target.strata([FollowUp(*each) for each in times]) == [
        "event, bin 0",
        "event, bin 0",
        "event, bin 1",
        "event, bin 2",
        "event, bin 3",
        "censored, bin 0",
        "censored, bin 3",
    ]


def test_blca_has_169_deaths_where_censorship_1_means_censored(blca):
    coding = event_coding(censored="censorship=1")
    cohort = read_cohort(
        blca, Columns(patient="case_id"), target=Survival("survival_months", coding)
    )
    assert (len(cohort.slides), len(cohort.patients)) == (437, 373)
    told = summarize(cohort)
    assert (told.events, told.censored) == (169, 204)
    assert (told.median_event_time, told.median_censored_time) == (13.57, 21.04)
