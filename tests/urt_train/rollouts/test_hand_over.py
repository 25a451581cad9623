"""Weights that did not arrive are found out at once."""

import pytest
import torch

from urt_train.errors import ParityError


def test_weights_that_did_not_arrive_are_found_out_by_server(engine, fakes, policy, addresses):
    fakes[1].keeps_old_weights = True
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.mul_(1.3)
    with pytest.raises(ParityError, match=f"{addresses[1]} and the policy disagree on a fixed prompt"):
        engine.wake(policy)
