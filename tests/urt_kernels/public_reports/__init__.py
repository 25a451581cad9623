"""What others reported of their loss heads, and what was probed in ours: each case computes with one implementation and
checks the right value. test_public_reports.py runs them on the reference, test_triton_public_reports.py on Triton."""

from tests.urt_kernels.public_reports import probes, training, values
from tests.urt_kernels.public_reports.cases import PROBES, REPORTS

__all__ = ["PROBES", "REPORTS", "probes", "training", "values"]
