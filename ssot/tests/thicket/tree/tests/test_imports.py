# def test_import_rows():
#     assert read("stock.csv") == []

FIELDS = ("sku", "count")
SEPARATOR = ";"
