"""What ranks prove to one another, here with the answers of others made up; two real processes are in test_faults.py."""

import pytest

from urt_core.errors import ConfigError
from urt_train.runtime import agreement
from urt_train.runtime.agreement import agree, are_alike


def others(monkeypatch, *answers):
    """Ranks 1, 2, ... on hosts of their own, behind this one."""

    def all_gather_object(everybody, own):
        everybody[:] = [own, *((f"node-{rank}", own[1] | change) for rank, change in enumerate(answers, start=1))]

    monkeypatch.setattr(agreement, "world", lambda: (0, 1 + len(answers)))
    monkeypatch.setattr(agreement.distributed, "all_gather_object", all_gather_object)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"code": "9f86d0"}, "rank 2 on node-2 has code '9f86d0', rank 0 on"),
        ({"torch": "2.12"}, "rank 2 on node-2 has torch '2.12', rank 0 on"),
        ({"grpo.kl_coef": 0.0}, r"rank 2 on node-2 has grpo\.kl_coef 0\.0, rank 0 on"),
        ({"size of model.safetensors": 7}, r"rank 2 on node-2 has size of model\.safetensors 7, rank 0 on"),
    ],
)
def test_a_rank_with_other_code_or_settings_is_named(monkeypatch, change, said):
    own = {"grpo.kl_coef": 0.04, "torch": "2.13", "code": "60303a", "size of model.safetensors": 8}
    others(monkeypatch, {}, {})
    are_alike(own)
    others(monkeypatch, {}, change)
    with pytest.raises(ConfigError, match=f"{said}.*start all ranks with the same command, code and packages"):
        are_alike(own)


def test_the_code_is_among_what_is_compared(monkeypatch, tmp_path):
    compared = {}
    monkeypatch.setattr(agreement, "world", lambda: (0, 2))
    monkeypatch.setattr(agreement, "_see_one_folder", lambda folder, *, patience_s: None)
    monkeypatch.setattr(agreement, "are_alike", compared.update)
    agree(tmp_path, {"seed": 0})
    assert set(compared) == {"seed", "code"}


def test_alone_there_is_nothing_to_agree_on(tmp_path):
    agree(tmp_path / "never_made", {"seed": 0})
    assert not (tmp_path / "never_made").exists()
