"""Double entry for orders."""

from shop.payments.events import PaymentEvent, PaymentRefunded
from shop.payments.wire import TransferKernel


class CsvSink:
    def write(self, row):
        return ",".join(str(cell) for cell in row)


class TableSink:
    def __init__(self):
        self.table = []

    def write_rows(self, rows):
        self.table.extend(rows)


class LedgerBook:
    watched = ["payment_captured", "payment_authorised", "order_cancelled"]

    def __init__(self, endpoint):
        self.endpoint = endpoint
        self.rows = []
        self._kernel = TransferKernel()

    def charge(self, order_id, amount):
        reference = self._kernel.charge(order_id, amount)
        self.rows.append(("debit", reference, amount))
        return reference

    def refund(self, reference, amount):
        self.rows.append(PaymentRefunded(reference, amount))
        return self._kernel.refund(reference, amount)

    def capture(self, reference):
        self.rows.append({"event": PaymentEvent.PAYMENT_CAPTURED, "reference": reference})
        return self._kernel.capture(reference)

    def export(self, sink):
        sink.write_rows(self.rows)


def history(rows):
    for row in rows:
        yield {"event": "payment_captured", "row": row}
