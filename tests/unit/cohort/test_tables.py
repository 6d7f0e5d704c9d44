import pytest

from wsi_tools.cohort.tables import read_table
from wsi_tools.errors import DataError, InputError, UnavailableError


def cells(path):
    return [dict(row.cells) for row in read_table(path).rows]


def test_cells_are_stripped_and_the_usual_signs_for_missing_values_are_none(table):
    path = table('a,b\n x ,NA\n,"\'--"\nnone,0\n')
    assert cells(path) == [{"a": "x", "b": None}, {"a": None, "b": None}, {"a": "none", "b": "0"}]


def test_a_row_knows_its_line_and_blank_lines_are_passed_over(table):
    assert [row.line for row in read_table(table("a\n1\n\n\n2\n")).rows] == [2, 5]


def test_a_byte_order_mark_is_no_part_of_the_first_column(tmp_path):
    (tmp_path / "t.csv").write_bytes("slide_id\ns1\n".encode("utf-8-sig"))
    assert read_table(tmp_path / "t.csv").columns == ("slide_id",)


def test_tabs_divide_a_tsv(table):
    assert cells(table("a\tb\n1,5\t2\n", "t.tsv")) == [{"a": "1,5", "b": "2"}]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "has no rows"),
        (b"a,b\n", "has no rows"),
        (b"a,b\n1\n", "line 2: 1 cells for 2 columns"),
        (b"a,b\n1,2,3\n", "line 2: 3 cells for 2 columns"),
        (b"a,a\n1,2\n", "two columns are called 'a'"),
        (b'a\n"unclosed\n', "cannot be read as a table"),
        ("a\nGr\xf6\xdfe\n".encode("latin-1"), "is not UTF-8 text"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "is not UTF-8 text"),
    ],
)
def test_a_table_that_cannot_be_read_says_why(tmp_path, content, reason):
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(DataError, match=reason) as caught:
        read_table(tmp_path / "t.csv")
    assert str(caught.value).startswith("t.csv: ")


def test_a_table_that_is_not_there_or_of_no_known_kind_is_an_error(tmp_path, table):
    with pytest.raises(DataError, match="No such file"):
        read_table(tmp_path / "nowhere.csv")
    with pytest.raises(DataError, match="not a table that is known here"):
        read_table(table("a\n1\n", "cohort.doc"))


def test_a_missing_column_names_those_that_are_there(table):
    with pytest.raises(InputError, match="no column 'grade'; it has slide_id, label"):
        read_table(table("slide_id,label\ns,1\n")).require(["slide_id", "grade"])


@pytest.mark.parametrize("kind", ["xlsx", "parquet"])
def test_other_kinds_of_table_hold_what_csv_would(tmp_path, kind):
    pandas = pytest.importorskip("pandas")
    pytest.importorskip({"xlsx": "openpyxl", "parquet": "pyarrow"}[kind])
    frame = pandas.DataFrame(
        {"slide_id": ["007", "s2"], "age": [61, None], "event": [1, 0], "size": [1.5, 2.0]}
    )
    getattr(frame, {"xlsx": "to_excel", "parquet": "to_parquet"}[kind])(
        tmp_path / f"t.{kind}", index=False
    )
    assert cells(tmp_path / f"t.{kind}") == [
        {"slide_id": "007", "age": "61", "event": "1", "size": "1.5"},
        {"slide_id": "s2", "age": None, "event": "0", "size": "2"},
    ]


@pytest.mark.parametrize("kind", ["xlsx", "parquet"])
def test_a_damaged_file_of_another_kind_is_a_data_error(tmp_path, kind):
    pytest.importorskip({"xlsx": "openpyxl", "parquet": "pyarrow"}[kind])
    (tmp_path / f"t.{kind}").write_bytes(b"no table at all")
    with pytest.raises(DataError, match="cannot be read as a table"):
        read_table(tmp_path / f"t.{kind}")


def test_without_the_extra_the_error_names_it(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pandas", None)
    with pytest.raises(UnavailableError, match=r"pip install 'wsitools\[tables\]'"):
        read_table(tmp_path / "t.xlsx")
