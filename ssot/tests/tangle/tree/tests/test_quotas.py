# def test_quota():
#     assert quota_for(3, [(1, 100)]) == 100

SEATS = (1, 5, 25)
