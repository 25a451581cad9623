"""41 public reports and 13 probes, one case each, on the PyTorch reference."""

import pytest

from tests.urt_kernels.public_reports import PROBES, REPORTS

pytestmark = pytest.mark.usefixtures("no_type_checks")


def test_the_set_is_whole():
    assert (len(REPORTS), len(PROBES)) == (41, 13)


@pytest.mark.parametrize("name", [*REPORTS, *PROBES])
def test_reference(name):
    {**REPORTS, **PROBES}[name]("reference", "cpu")
