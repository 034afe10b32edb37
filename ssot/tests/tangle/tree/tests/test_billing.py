from app.billing.invoice import issue
from app.engine.batch_engine import BatchEngine


def test_issue():
    assert issue(500).total == 500


def test_batch(stub_emitter):
    assert BatchEngine("bill", stub_emitter).cancel() == "cancelled"
