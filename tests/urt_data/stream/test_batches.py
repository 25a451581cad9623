"""Worker processes, DataLoaders and Lightning: the same batches in the same order, and a state that counts what was
handed out."""

import subprocess
import sys
from itertools import islice

import pytest

from urt_data import PreferenceStream, Quarantine
from urt_data.errors import ConfigError, QuarantineError, SampleError

torch = pytest.importorskip("torch", reason="torch is not installed")


def keys_of(batch) -> list[str]:
    return [record.key for record in batch]


def stream_of(folder, **settings) -> PreferenceStream:
    return PreferenceStream(
        folder, **{"batch_size": 4, "seed": 3, "shuffle_window": 14, "transform": keys_of, **settings}
    )


@pytest.mark.filterwarnings("ignore:This DataLoader will create")  # more workers than this machine has cores
@pytest.mark.parametrize("num_workers", [1, 2, 4])
def test_workers_do_not_change_the_order(folder_of, num_workers):
    folder = folder_of(30)
    expected = list(stream_of(folder))
    stream = stream_of(folder, num_workers=num_workers)
    assert list(stream) == expected
    assert stream.epoch == 1


def test_state_counts_what_was_handed_out_not_what_was_prefetched(folder_of):
    folder = folder_of(40)
    reference = list(stream_of(folder))
    for num_workers, resumed_workers in ((2, 0), (0, 2), (2, 1)):
        stream = stream_of(folder, num_workers=num_workers)
        iterator = iter(stream)
        done = [next(iterator) for _ in range(3)]
        resumed = stream_of(folder, num_workers=resumed_workers)
        resumed.load_state_dict(stream.state_dict())
        assert done + list(resumed) == reference


WORLDS = (1, 2, 3, 4, 8)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:This DataLoader will create")
@pytest.mark.parametrize("num_workers", [1, 2, 4])
@pytest.mark.parametrize("before", WORLDS)
def test_worlds_with_workers_resume_on_another_world(folder_of, before, num_workers):
    """Ten cut points each. Without workers: every pair of worlds at ten cut points, in
    test_preference_stream.py."""
    folder = folder_of(90)
    after = WORLDS[(WORLDS.index(before) + num_workers) % len(WORLDS)]

    def steps(world_size: int, state, *, num_workers: int):
        """The keys of each step of a world, and the state after it."""
        streams = [
            stream_of(folder, batch_size=1, rank=rank, world_size=world_size, num_workers=num_workers)
            for rank in range(world_size)
        ]
        for stream in streams:
            stream.load_state_dict(state)
        for step in zip(*streams, strict=True):
            yield [key for batch in step for key in batch], streams[0].state_dict()

    reference = [key for batch in stream_of(folder) for key in batch]
    done: list[str] = []
    for cut, (keys, state) in enumerate(
        islice(steps(before, stream_of(folder).state_dict(), num_workers=num_workers), 10)
    ):
        done += keys
        # Worker processes are slow to start: after one of the cuts they read the rest too.
        workers_after = num_workers if cut == before % 10 else 0
        rest = [key for keys, _ in steps(after, state, num_workers=workers_after) for key in keys]
        assert done + rest == reference[: len(done + rest)]
        assert len(done + rest) > len(reference) - after


def test_workers_leave_the_global_random_state_alone(folder_of):
    folder = folder_of(20)
    torch.manual_seed(0)
    list(stream_of(folder, num_workers=1))
    after = torch.rand(1)
    torch.manual_seed(0)
    assert after == torch.rand(1)


def test_errors_in_workers_keep_their_type(folder_of, tmp_path):
    folder = folder_of(20)
    path = tmp_path / "pairs" / "shard-000001.tar"
    content = bytearray(path.read_bytes())
    for offset in folder.index(1).offsets:
        content[offset + 700] ^= 1
    path.write_bytes(content)
    with pytest.raises(SampleError, match=r"shard-000001.tar, sample pair-\d+: its bytes do not match"):
        list(stream_of(folder, num_workers=2))
    quarantine = Quarantine(file=tmp_path / "bad.jsonl", max_share=0.5)
    read = [key for batch in stream_of(folder, num_workers=2, quarantine=quarantine) for key in batch]
    assert len(set(read)) == 13
    assert quarantine.num_bad == 7
    assert len((tmp_path / "bad.jsonl").read_text().splitlines()) == 7
    with pytest.raises(QuarantineError, match="are bad"):
        list(stream_of(folder, num_workers=2, quarantine=Quarantine(max_share=0.001)))


@pytest.mark.parametrize("num_workers", [0, 2])
def test_batches_are_a_data_set_for_any_data_loader(folder_of, num_workers):
    folder = folder_of(30)
    stream = stream_of(folder)
    expected = list(stream_of(folder))
    loader = torch.utils.data.DataLoader(stream.batches(), batch_size=None, num_workers=num_workers, collate_fn=list)
    assert list(loader) == expected
    assert stream.state_dict()["position"] == 0, "reading by number does not move the cursor"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")  # Lightning's use of torch
def test_lightning_resumes_in_the_middle_of_an_epoch(folder_of, tmp_path):
    lightning = pytest.importorskip("lightning.pytorch", reason="lightning is not installed")
    folder = folder_of(40)

    class Model(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(()))
            self.seen: list[list[str]] = []

        def training_step(self, batch, _):
            self.seen.append(batch)
            return (self.weight - len(batch[0])) ** 2

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.01)

    def fit(steps: int, checkpoint=None):
        model, stream = Model(), stream_of(folder)
        trainer = lightning.Trainer(
            max_steps=steps,
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(model, stream, ckpt_path=checkpoint, weights_only=True)
        trainer.save_checkpoint(tmp_path / f"{steps}.ckpt")
        return model

    straight = fit(24)
    first = fit(13)
    second = fit(24, checkpoint=tmp_path / "13.ckpt")
    assert first.seen + second.seen == straight.seen
    assert second.weight == straight.weight


def test_workers_without_torch_name_the_extra_that_brings_it(folder_of, monkeypatch):
    stream = stream_of(folder_of(12), num_workers=1)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ConfigError, match=r"num_workers > 0 needs torch: pip install 'urt-data\[workers\]', or"):
        next(iter(stream))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's setting")
def test_what_a_worker_lets_go_of_is_not_cleared_again():
    """Pages that the kernel has to give, in a process of its own, for 20 batches of 16 pictures of a megabyte."""
    program = """
import resource, sys
from urt_data.stream.batches import keep_freed_memory
if "keep" in sys.argv: keep_freed_memory()
pictures = [bytes([number]) * (1 << 20) for number in range(16)]; del pictures
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20): pictures = [bytes([number]) * (1 << 20) for number in range(16)]; del pictures
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
    given, kept = (
        int(subprocess.run([sys.executable, "-c", program, word], capture_output=True, text=True, check=True).stdout)
        for word in ("give", "keep")
    )
    assert kept < 100
    assert given > 10 * kept + 1000
