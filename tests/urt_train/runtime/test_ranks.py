"""Processes give the gradient of one, under DDP, FSDP2 and hybrid sharding (two copies of two shards), and sharded weights sample what whole ones do."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from urt_core import render
from urt_core.judging.journal import parts_of, placed
from urt_data import ShardWriter
from urt_train.model.batching import pack_completions
from urt_train.runtime.ranks import all_sum, all_union, any_rank, derived_seed, world

SCRIPT = Path(__file__).parents[1] / "two_ranks.py"


def launch(script: Path, *arguments: object, num_ranks: int) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(num_ranks), "--master-port", "0"]
    command += ["--standalone", str(script), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.fixture(scope="module")
def batch_file(tmp_path_factory, tiny_folder, spec, records) -> Path:
    """Four prompts with two completions each, of different lengths, so that ranks hold different numbers of tokens."""
    from urt_train.model.policy import Policy

    policy = Policy.from_pretrained(tiny_folder, spec=spec)
    generator = torch.Generator().manual_seed(0)
    rows = [
        [torch.randint(7, 300, (length,), generator=generator).tolist() for length in lengths]
        for lengths in ((2, 9), (10, 10), (1, 3), (5, 2))
    ]
    ids, mask = pack_completions(rows)
    fields = {
        "prompts": policy.encode([render(record, spec.dialect) for record in records[:4]]),
        "completion_ids": ids,
        "completion_mask": mask,
        "advantages": torch.randn(4, 2, generator=generator),
        "rollout_logprobs": -torch.rand(ids.shape, generator=generator) * 6,
    }
    path = tmp_path_factory.mktemp("batch") / "batch.pt"
    torch.save(fields, path)
    return path


CASES = {
    1: {"none": [4]},
    2: {"ddp": [2], "fsdp2": [2], "ddp-1": [1, 1], "fsdp2-1": [1, 1], "ddp-100000": [2], "fsdp2-100000": [2]},
    4: {"hsdp": [1]},
}
"""Ranks -> strategy, with the tokens of a micro-batch -> prompts of each micro-batch of the first rank."""


@pytest.fixture(scope="module")
def stepped(tmp_path_factory, tiny_folder, spec, batch_file):
    """What a case has computed; processes are started once for all cases of as many ranks."""
    folder = tmp_path_factory.mktemp("ranks")
    spec.save(folder)

    def found(case: str, num_ranks: int) -> dict:
        if not (folder / f"{case}.pt").exists():
            launch(SCRIPT, tiny_folder, folder, batch_file, folder, *CASES[num_ranks], num_ranks=num_ranks)
        return torch.load(folder / f"{case}.pt", weights_only=True)

    return found


@pytest.mark.slow
@pytest.mark.parametrize(("num_ranks", "case"), [(num, case) for num in (2, 4) for case in CASES[num]])
def test_ranks_give_the_gradient_of_one(stepped, num_ranks, case):
    """Also where pieces of the step are shared out by their length, and micro-batches that nobody needs are skipped."""
    one_process, two = stepped("none", 1), stepped(case, num_ranks)
    computed = CASES[num_ranks][case]
    assert two["computed"] == [computed], "prompts of each micro-batch of the first rank"
    assert two["norm"] == pytest.approx(one_process["norm"], rel=1e-5)
    assert two["gradients"].keys() == one_process["gradients"].keys()
    scale = max(gradient.abs().max() for gradient in one_process["gradients"].values())
    for name, gradient in one_process["gradients"].items():
        torch.testing.assert_close(two["gradients"][name] / scale, gradient / scale, rtol=0, atol=3e-6, msg=name)
    assert two["weights"].keys() == one_process["weights"].keys(), "gathered under their own names"


@pytest.mark.slow
def test_ranks_with_different_shares_of_the_pool_wait_for_nobody(tmp_path, tiny_folder, spec, records):
    """Sharded weights are gathered by all ranks together, and of five batches one rank has three."""
    spec.save(tmp_path)
    with ShardWriter(tmp_path / "pool") as shards:
        for record in records[:9]:
            shards.write(record)
    launch(SCRIPT.with_name("two_ranks_judge.py"), tiny_folder, tmp_path, tmp_path / "pool", tmp_path, num_ranks=2)
    judged = [[line["key"] for _, line in placed(part)] for part in parts_of(tmp_path)]
    assert sorted(map(len, judged)) in ([4, 5], [3, 6])
    assert {key for share in judged for key in share} == {record.key for record in records[:9]}


def test_alone_the_sums_are_ones_own():
    assert world() == (0, 1)
    assert all_sum([1.5, 2], device=torch.device("cpu")) == [1.5, 2.0]
    assert any_rank(True, device=torch.device("cpu"))
    assert not any_rank(False, device=torch.device("cpu"))
    assert all_union(["a", "b", "a"]) == {"a", "b"}


def test_derived_seeds_differ_by_purpose_and_fit():
    seeds = {derived_seed(0, "rollout", number, rank) for number in range(50) for rank in range(4)}
    assert len(seeds) == 200
    assert all(0 <= seed < 2**62 for seed in seeds)
    assert derived_seed(0, "rollout", 1, 0) == derived_seed(0, "rollout", 1, 0)
