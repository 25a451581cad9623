"""The judge over HTTP (`pip install "urt-core[serve]"`): JSON only, loopback by default, everything bounded.

POST /v1/compare   task, text, first, second[, media, orders, votes]   -> a Comparison
POST /v1/score     task, text, candidate[, media, contract, votes]     -> a PointScore
POST /v1/rank      task, text, candidates[, media, method, ...]        -> a Ranking
POST /compute      the remote-reward protocol of Flow-Factory          -> {"rewards": [...], "statuses": [...]}
POST /v1/chat/completions   one user turn of the client's own wording  -> a chat completion
GET  /health, /metrics (Prometheus), /v1/models
"""

from urt_core.server.app import create_app
from urt_core.server.running import serve
from urt_core.server.settings import ServerSettings

__all__ = ["ServerSettings", "create_app", "serve"]
