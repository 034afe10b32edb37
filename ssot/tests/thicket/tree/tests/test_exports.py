# def test_export_rows():
#     assert export([]) == []
#
#
# def test_export_header():
#     assert header() == "sku,count"

HEADER = "sku,count"
