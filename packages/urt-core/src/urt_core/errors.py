"""Every error this project raises on purpose.

    UrtError
    ├── RecordError       (ValueError)    a record, candidate or medium that cannot exist
    ├── PromptError       (ValueError)    a prompt that cannot be built, or whose placeholders differ from its media
    │   └── TemplateError                 a prompt template with wrong or missing placeholders
    ├── MediaError        (ValueError)    an image or video that is damaged, too large or of a refused format
    ├── EngineError       (RuntimeError)  an engine that cannot be built or cannot answer at all
    │   ├── ServerError                   a server that is lost or does not answer as it should
    │   └── BudgetError                   the token or money budget of a run is spent
    ├── ConfigError       (ValueError)    a setting outside its allowed values
    ├── DataError         (ValueError)    stored data that is damaged or incomplete
    │   └── ShardError                    a shard, its index or its manifest
    ├── RewardError       (RuntimeError)  a reward of a user's own that raises, or returns something else than numbers
    └── CheckpointError   (RuntimeError)  a checkpoint or an exported judge that is incomplete or does not fit

Each also inherits the builtin in brackets, so that callers who do not know this tree can still catch it. A message
names the thing, its value, what is allowed and what to do. Unreadable model output is no error: it is a `ParseFailure`.
"""


class UrtError(Exception):
    """Base of every error raised on purpose by the urt packages."""


class RecordError(UrtError, ValueError):
    """A record, candidate or medium that cannot exist."""


class PromptError(UrtError, ValueError):
    """A prompt that cannot be built, or whose placeholders differ from its media."""


class TemplateError(PromptError):
    """A prompt template with wrong or missing placeholders."""


class MediaError(UrtError, ValueError):
    """An image or video that is damaged, too large or of a refused format."""


class EngineError(UrtError, RuntimeError):
    """An engine that cannot be built or cannot answer at all."""


class ServerError(EngineError):
    """One request to one of several servers has failed.

    `is_lost`: the server can't be reached or does not answer in time. `is_final`: any server would say the same.
    """

    def __init__(self, message: str, *, is_lost: bool = False, is_final: bool = False) -> None:
        super().__init__(message)
        self.is_lost, self.is_final = is_lost, is_final


class BudgetError(EngineError):
    """The token or money budget of a run is spent."""


class ConfigError(UrtError, ValueError):
    """A setting outside its allowed values."""


class DataError(UrtError, ValueError):
    """Stored data that is damaged or incomplete."""


class ShardError(DataError):
    """A damaged or incomplete shard, index or manifest."""


class RewardError(UrtError, RuntimeError):
    """A reward of a user's own that raises, or returns something else than numbers."""


class CheckpointError(UrtError, RuntimeError):
    """A checkpoint or an exported judge that is incomplete or does not fit."""
