"""The tables that other tests loop over hold every op."""

from __future__ import annotations

import calls

from fastnn import ops


def test_every_op_is_called():
    called = {call.op for table in (calls.CALLS, calls.STEPS) for call in table.values()}
    assert called == set(ops.__all__) - {"DeviceArray"}
