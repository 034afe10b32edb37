# def test_export_rows():
#     assert export([]) == []
#
#
# def test_export_header():
#     assert header() == "user,tokens"

HEADER = "user,tokens"
