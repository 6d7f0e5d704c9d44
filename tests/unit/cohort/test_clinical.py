import json

import pytest

from wsi_tools.cohort import ClinicalTable, Scaler, clinical_table
from wsi_tools.errors import DataError, InputError

ROWS = [
    {"age": "50", "sex": "f", "size": "2"},
    {"age": None, "sex": "m", "size": "2"},
    {"age": "54", "sex": None, "size": "2"},
]
BASIC = ClinicalTable("basic", ("age", "sex", "size"))


def test_a_table_is_named_with_its_columns():
    assert clinical_table("basic=age, sex,size") == BASIC
    for text in ("basic", "=age", "basic=", "basic=age,,sex"):
        with pytest.raises(InputError, match="give NAME=col,col"):
            clinical_table(text)


def test_numbers_are_standardised_and_names_become_ones_among_zeros():
    scaler = Scaler.fit(BASIC, ROWS)
    assert [scaler.encode(row) for row in ROWS] == [
        (-1.0, 1.0, 0.0, 0.0),
        (0.0, 0.0, 1.0, 0.0),
        (1.0, 0.0, 0.0, 0.0),
    ]
    assert scaler.width == 4


def test_what_is_fitted_depends_on_the_rows_given_alone():
    scaler = Scaler.fit(BASIC, ROWS)
    assert scaler.encode({"age": "60", "sex": "x", "size": "3"}) == (4.0, 0.0, 0.0, 1.0)


def test_a_scaler_survives_json():
    scaler = Scaler.fit(BASIC, ROWS)
    assert Scaler.from_json(json.loads(json.dumps(scaler.as_json()))) == scaler


def test_an_edited_scaler_is_a_data_error():
    data = Scaler.fit(BASIC, ROWS).as_json()
    data["columns"][0]["mean"] = "old"
    with pytest.raises(DataError, match="damaged at 'columns"):
        Scaler.from_json(data)


def test_columns_that_cannot_be_used_say_why():
    with pytest.raises(InputError, match="no column 'bmi' in the cohort; it has age, sex, size"):
        Scaler.fit(ClinicalTable("t", ("bmi",)), ROWS)
    with pytest.raises(DataError, match="'age' is empty in the whole training fold"):
        Scaler.fit(ClinicalTable("t", ("age",)), [ROWS[1]])
    scaler = Scaler.fit(BASIC, ROWS)
    with pytest.raises(DataError, match="'age': 'old' is no number, as in the training fold"):
        scaler.encode({"age": "old", "sex": "f", "size": "1"})
    with pytest.raises(InputError, match="no column 'age'"):
        scaler.encode({})
