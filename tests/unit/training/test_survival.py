"""Cox through bags of one tile is Cox: lifelines on the same rows says the same."""

import numpy as np
import pytest
from survival import TABLES, Rows, cox, lifelines_cox, on_folds, risks


@pytest.fixture(params=TABLES)
def rows(request, test_data):
    return Rows.read(test_data / "survival", request.param)


@pytest.mark.slow
def test_cox_on_bags_of_one_tile_is_lifelines_cox(rows):
    known, learning = lifelines_cox(rows), cox(rows)
    ours = rows.index(risks(learning, rows, rows))
    assert ours == pytest.approx(known.concordance_index_, abs=0.002)
    weights = learning.model.classifier.weight.detach().numpy()[0]
    assert weights == pytest.approx(known.params_.to_numpy(), abs=0.05)


@pytest.mark.slow
def test_hazards_come_close_to_it_on_patients_that_neither_has_seen(rows):
    known, ours = on_folds(rows)
    assert ours == pytest.approx(known, abs=0.04)


def test_rows_are_standardised_by_the_rows_that_are_known(test_data):
    rows = Rows.read(test_data / "survival", "rossi")
    known, other = rows.at(np.arange(300)), rows.at(np.arange(300, 432))
    assert known.scaled_by(known).mean(dim=0).abs().max() < 1e-5
    moved = other.at(np.arange(10)).scaled_by(known)
    assert moved.equal(other.scaled_by(known)[:10])
