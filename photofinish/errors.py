"""Every error Photofinish raises on purpose.

PhotofinishError                 caught once, at the command line: one line on stderr
├── ConfigError                  variants.toml or a flag is wrong
├── ExportError                  an artifact could not be built
├── AccuracyGateError            a variant fell below its accuracy floor (exit 3)
├── VerdictError                 measured, and fell short of a limit or not valid (exit 3)
├── ModelRepositoryError         layout or config.pbtxt disagrees with the artifact
├── ServerError                  the embedded server cannot be provisioned, started or kept
├── SourceError                  a camera, file or stream cannot be read
└── InferenceError               carries model and url
    ├── ServerUnavailableError
    ├── ModelNotFoundError
    ├── RequestTimeoutError
    └── RequestRejectedError
"""

from __future__ import annotations


class PhotofinishError(Exception):
    """A failure with a remedy: the message says what, found, expected, and what to do."""

    exit_code: int = 1


class ConfigError(PhotofinishError):
    """variants.toml, a data.yaml or a flag is wrong."""


class ExportError(PhotofinishError):
    """An artifact could not be built from the weights."""


class AccuracyGateError(PhotofinishError):
    """A variant fell below its accuracy floor and was not published."""

    exit_code = 3


class VerdictError(PhotofinishError):
    """A measurement was made and is not valid, or missed a limit."""

    exit_code = 3


class ModelRepositoryError(PhotofinishError):
    """The model repository's layout or a config.pbtxt disagrees with its artifact."""


class ServerError(PhotofinishError):
    """The embedded server cannot be provisioned, started or kept running."""


class SourceError(PhotofinishError):
    """A camera, file or stream cannot be read."""


class InferenceError(PhotofinishError):
    """A request to a Triton server failed. Carries the model and the server's address."""

    def __init__(self, message: str, *, model: str = "", url: str = "") -> None:
        """Keep model ("" when no model is concerned) and url ("host:port") beside the message."""
        super().__init__(message)
        self.model = model
        self.url = url


class ServerUnavailableError(InferenceError):
    """No server answers at the address, or it went away."""


class ModelNotFoundError(InferenceError):
    """The server answers but does not serve this model."""


class RequestTimeoutError(InferenceError):
    """The deadline passed before the answer came."""


class RequestRejectedError(InferenceError):
    """The server refused the request: wrong shape, dtype, name, or the model failed on it."""


def reason_from_error(exc: BaseException, *, limit: int = 300) -> str:
    """The first line of what an error says, at most `limit` characters; its class's name where it says nothing."""
    lines = str(exc).strip().splitlines()
    return lines[0][:limit] if lines else type(exc).__name__


def said_of_file(exc: BaseException) -> str:
    """Why a file or a port that the message itself names could not be had: `No such file or directory`, without it."""
    return (isinstance(exc, OSError) and exc.strerror) or reason_from_error(exc)
