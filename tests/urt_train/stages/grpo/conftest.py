import pytest

from urt_train.model.policy import Policy


@pytest.fixture
def fresh(tiny_folder, spec):
    return lambda: Policy.from_pretrained(tiny_folder, spec=spec).train()
