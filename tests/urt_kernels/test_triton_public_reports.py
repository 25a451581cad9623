"""41 public reports and 13 probes, one case each, on the Triton kernels."""

import pytest

from tests.urt_kernels.public_reports import PROBES, REPORTS

pytestmark = pytest.mark.usefixtures("no_type_checks")


@pytest.mark.parametrize("name", [*REPORTS, *PROBES])
def test_triton(device, name):
    {**REPORTS, **PROBES}[name]("triton", device)
