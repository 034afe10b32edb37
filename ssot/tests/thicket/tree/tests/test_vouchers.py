from shop.checkout.giftcards import issue
from shop.conf.env import EnvSettings


def test_issue():
    assert issue(500).balance == 500


def test_prefix():
    assert EnvSettings(prefix="GIFT_").get("currency") == "EUR"
