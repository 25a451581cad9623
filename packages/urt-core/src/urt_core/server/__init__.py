"""The judge over HTTP (`pip install "urt-core[serve]"`): JSON only, loopback by default, everything bounded.

POST /v1/compare   task, text, first, second[, media, orders, votes, mode, bounds] -> a Comparison
POST /v1/score     task, text, candidate[, media, contract | against, votes]        -> a PointScore
POST /v1/rank      task, text, candidates[, media, method, num_rounds, orders, votes] -> a Ranking
POST /compute      the remote-reward protocol of Flow-Factory, with groups over several processes and references
POST /v1/chat/completions   the client's own wording, in OpenAI's protocol -> a chat completion, whole or as a stream
POST /score, /get_reward, /compare   what UniRL, OpenRLHF and NeMo-Gym send to a reward service
GET  /, /health, /metrics (Prometheus), /v1/models

A request passes `connections` (who may be connected), `gate` (who may ask, and a whole body), `bodies` (what it says), a route of `app`, and
`work` (when it is judged, beside the event loop).
"""

from urt_core.server.app import create_app
from urt_core.server.running import serve
from urt_core.server.settings import ServerSettings

__all__ = ["ServerSettings", "create_app", "serve"]
