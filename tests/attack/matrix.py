"""The twenty threats of a judge, and the tests that count what was tried against each."""

from dataclasses import dataclass

CORE, DATA, TRAIN = "tests/urt_core", "tests/urt_data", "tests/urt_train"


@dataclass(frozen=True, slots=True)
class Row:
    """Row(9, "addresses", "forbidden addresses, redirects, rebinding", ("tests/urt_core/media/test_download.py",))"""

    number: int
    threat: str
    tried: str
    tests: tuple[str, ...] = ()
    fuzzers: tuple[str, ...] = ()
    """Doors of `readers` whose structural cases belong here too."""


ROWS = (
    Row(1, "verdict injection", "texts that state, forge or repeat verdicts",
        (f"{CORE}/judgement/test_properties.py::test_arbitrary_strings", f"{CORE}/judgement/test_properties.py::test_mutations_of_good_judgements",
         f"{CORE}/judgement/test_cases.py", f"{CORE}/judgement/test_properties.py::test_no_prefix_of_a_judgement_is_one"), ("judgement",)),
    Row(2, "text in pictures, favours asked for", "judges that believe what they are shown are found out",
        (f"{CORE}/bench/suites/test_running.py",)),
    Row(3, "special tokens", "tokens and tags of four families in every field", (f"{CORE}/prompts",)),
    Row(4, "bombs", "absurd sizes, scans, profiles, modes", (f"{CORE}/media/test_images.py",)),
    Row(5, "damaged media", "structures, truncations, flipped bytes", (f"{CORE}/media/test_isolation.py", f"{CORE}/media/test_limits.py"), ("picture", "video")),
    Row(6, "archives", "paths, links, devices, sparse files, sizes", (f"{DATA}/shards/test_tar.py", f"{DATA}/sources/reading/test_tar_members.py"), ("shard", "archive")),
    Row(7, "code in files", "pickles, auto_map, templates, adapters; no loader of code in the sources",
        ("tests/test_architecture.py::test_nothing_runs_what_a_file_says", f"{DATA}/shards/test_tar.py::test_pickles_are_never_loaded",
         f"{CORE}/engines/model/test_folder.py", f"{TRAIN}/runtime/checkpoints/test_checkpoint.py"), ("judge_file",)),
    Row(8, "configs", "targets, aliases, loggers, paths", (f"{TRAIN}/config/test_yaml_files.py", f"{TRAIN}/test_cli.py::test_a_mistake_names_field_and_allowed_values")),
    Row(9, "addresses and paths", "forbidden addresses, redirects, rebinding, files", (f"{CORE}/media/test_download.py", f"{CORE}/server/test_app.py")),
    Row(10, "numbers that are none", "a NaN in a step, weights or an answer", (f"{TRAIN}/test_faults.py::test_a_fault_ends_clearly_and_the_run_goes_on[nan_and_sigterm]",)),
    Row(11, "kills", "in training and conversion, at random moments", (f"{TRAIN}/test_kill.py", f"{DATA}/test_kill.py")),
    Row(12, "full and read-only disks", "one line, nothing lost, the same command goes on",
        (f"{TRAIN}/test_faults.py::test_a_fault_ends_clearly_and_the_run_goes_on[full_disk]", f"{CORE}/cli/test_disks.py")),
    Row(13, "bit rot", "flipped bits of shards, weights and checkpoints", (f"{DATA}/upkeep/test_verify.py",), ("index", "manifest")),
    Row(14, "resuming", "other worlds, workers and cuts", (f"{DATA}/stream/test_preference_stream.py", f"{DATA}/stream/test_batches.py")),
    Row(15, "endpoints", "faults, answers that are none, one status each", (f"{CORE}/engines/endpoint/test_transport.py", f"{CORE}/engines/endpoint/test_answers.py"),
        ("answer", "served_answer", "cached_answer")),
    Row(16, "order", "both orders, ties where they contradict each other", (f"{CORE}/test_scorer.py", f"{CORE}/test_comparison.py")),
    Row(17, "secrets", "keys in answers, errors, logs", (f"{CORE}/test_redaction.py",)),
    Row(18, "the report", "markup in every text it shows", (f"{CORE}/bench/report/test_page.py::test_hostile_text_stays_text",)),
    Row(19, "supply chain", "pins, floors, components", ("tests/tools/test_audit.py",)),
    Row(20, "the server", "bodies, fields, heads, connections", (f"{CORE}/server/test_gate.py", f"{CORE}/server/test_fuzz.py"), ("body", "request_row", "record", "rows")),
)  # fmt: skip
