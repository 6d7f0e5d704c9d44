import pytest

from wsi_tools.channels import Normalization
from wsi_tools.errors import InputError


@pytest.mark.parametrize(
    ("typed", "method", "numbers", "told"),
    [
        ("dtype", "dtype", (), "dtype"),
        ("fixed", "fixed", (), "fixed"),
        ("percentile", "percentile", (1.0, 99.0), "percentile:1,99"),
        ("percentile:0.5,99.9", "percentile", (0.5, 99.9), "percentile:0.5,99.9"),
        ("zscore", "zscore", (), "zscore"),
        ("arcsinh", "arcsinh", (5.0,), "arcsinh:5"),
        ("arcsinh:150", "arcsinh", (150.0,), "arcsinh:150"),
        ("none", "none", (), "none"),
    ],
)
def test_what_is_typed_is_understood_and_told_in_one_way(typed, method, numbers, told):
    rule = Normalization.parse(typed)
    assert (rule.method, rule.numbers, str(rule)) == (method, numbers, told)
    assert Normalization.parse(str(rule)) == rule


@pytest.mark.parametrize(
    "typed",
    [
        "minmax",
        "",
        "percentile:99,1",
        "percentile:5",
        "percentile:-1,99",
        "percentile:0,101",
        "percentile:a,b",
        "percentile:1,nan",
        "arcsinh:0",
        "arcsinh:1,2",
        "arcsinh:inf",
        "dtype:8",
        "zscore:1",
    ],
)
def test_what_makes_no_sense_is_refused_with_the_usage(typed):
    with pytest.raises(InputError, match=r"--normalize .*; use dtype, fixed, percentile:LO,HI"):
        Normalization.parse(typed)


def test_rules_that_are_fitted_say_what_they_erase():
    fitted = [
        typed
        for typed in ("dtype", "fixed", "percentile", "zscore", "arcsinh", "none")
        if Normalization.parse(typed).caution
    ]
    assert fitted == ["percentile", "zscore"]
    assert "erases how much" in Normalization.parse("zscore").caution
