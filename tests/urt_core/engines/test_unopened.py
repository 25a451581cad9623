"""What names a question is known before the engine is open, for each kind of engine, and is the opened one's own."""

import pytest

from tests.urt_core.engines.test_servers import MODELS
from urt_core import Dialect, Prompt, SamplingParams
from urt_core.engines import close_engine, traits
from urt_core.engines.scripted_endpoint import Reply, ScriptedEndpoint
from urt_core.engines.unopened import NotOpened, opened, without_opening
from urt_core.example import JUDGE
from urt_core.judges.pretrained import find_engine
from urt_core.judging.judge import Asked, default_block
from urt_core.media import MediaPolicy, preprocessing_id

POLICY = MediaPolicy(min_pixels=64, max_pixels=1024)
PROMPT = Prompt(parts=("Which?",))


@pytest.fixture
def server():
    with ScriptedEndpoint(script=lambda request: MODELS if request.path == "/v1/models" else Reply()) as endpoint:
        yield endpoint


@pytest.mark.parametrize("kind", ["transformers", "vllm_server", "endpoint"])
def test_its_questions_have_the_names_of_the_opened_one(kind, server) -> None:
    how = {
        "transformers": {"path_or_id": str(JUDGE), "batch_size": 6},
        "vllm_server": {
            "path_or_id": "judge",
            "options": {"vllm_servers": [server.base_url.removesuffix("/v1")], "extra_body": {"top_k": 1}},
        },
        "endpoint": {
            "path_or_id": "judge",
            "base_url": server.base_url,
            "options": {"image_format": "jpeg-85", "extra_body": {"top_k": 1}, "revision": "r2"},
        },
    }[kind]
    found = find_engine(**how, kind="vllm_server" if kind == "vllm_server" else "transformers", policy=POLICY)
    assert server.num_requests == 0
    with pytest.raises(NotOpened, match=r"is asked before it is opened"):
        found.generate([PROMPT], SamplingParams())
    engine = opened(found)
    try:
        assert found.model == engine.model
        known, own = traits(found), traits(engine)
        assert (known.is_concurrent, known.gives_logprobs) == (own.is_concurrent, own.gives_logprobs)
        assert [preprocessing_id(each.policy) for each in (known, own) if each.policy] == [preprocessing_id(POLICY)] * 2
        for orders in ("given", "both"):
            asked = Asked(dialect=Dialect.V1, orders=orders)
            assert default_block(found, asked) == default_block(engine, asked)
        assert opened(engine) is engine
    finally:
        close_engine(engine)


def test_judging_that_asks_nothing_is_done_and_another_is_not() -> None:
    engine = find_engine("nowhere/at-all", kind="transformers", policy=POLICY)
    assert without_opening(lambda: [engine.model]) == ["nowhere/at-all"]
    assert without_opening(lambda: engine.generate([PROMPT], SamplingParams())) is None
