"""Every error this package raises on purpose.

    Sora2Error
    ├── ConfigurationError          a variable or option cannot be used
    │   └── MissingSettingError     nothing can be asked of the service before a variable is set
    │       └── MissingKeyError     no API key is set
    ├── ArgumentError               the caller's argument is not allowed
    ├── UnknownTaskError            no such task for this caller
    ├── KeyReusedError              an idempotency key came back with other arguments, or its order failed
    ├── LimitError                  a budget is used up
    ├── CannotAskError              a person must agree, and the host cannot ask one
    ├── NotAskedError               a person must agree, and has not been asked yet
    ├── DeclinedError               the person did not agree
    ├── StoreError                  the task store cannot be used
    ├── DownloadError               the file could not be saved
    │   ├── NoVideoError            there is no file to save
    │   └── UnwritableError         the disk, the folder or the size limit is in the way
    ├── PreviewError                the video cannot be looked at
    ├── NotReachedError             nothing got as far as the service
    │   ├── ProxyError              the proxy refused, or its variable cannot be used
    │   ├── CertificateError        the service's certificate is not trusted
    │   └── GatewayError            something in front of the service refused
    ├── LostAnswerError             sent, but no readable answer came back
    └── ServiceError                the service answered with an error code
        └── one class for each code of its table

A message is one sentence: what was being done, to what, what came back. ``hint`` says what the caller can do next,
``retryable`` whether the same call can help later, ``needs_change`` that something must be changed first. None of them
ever holds a key, a signed URL or a whole prompt. What a person at the command line can do says ``cli/hints.py``.
"""

from typing import ClassVar

from sora2_mcp.words import quoted


def leaves(error: BaseException) -> list[BaseException]:
    """The errors in a group, in whatever depth; any other error itself."""
    inner = error.exceptions if isinstance(error, BaseExceptionGroup) else ()
    return [leaf for each in inner for leaf in leaves(each)] or [error]


class Sora2Error(Exception):
    """Base of all of them; never raised itself."""

    retryable: ClassVar[bool] = False
    needs_change: ClassVar[bool] = False
    """The same call can help, but only after a change by a person: of the key, the credits, the disk."""

    hint: str = ""
    cli_hint: str | None = None
    """The same for a person at the command line, where more is known than the class; a command stands at its end."""

    @property
    def own_words(self) -> str:
        """The message for a log: without what the service says, which may hold the prompt."""
        return str(self)


class ConfigurationError(Sora2Error):
    """A variable or command line option holds something that cannot be used."""

    def __init__(self, variable: str, problem: str) -> None:
        super().__init__(f"{variable} {problem}")
        self.variable = variable
        self.hint = f"Set {variable} to an allowed value and start the server again."


class MissingSettingError(ConfigurationError):
    """A variable is not set without which nothing can be asked of the service."""

    needs_change = True

    def __init__(self, variable: str, problem: str = "is not set, and nothing can be ordered without it") -> None:
        super().__init__(variable, problem)
        self.hint = (
            f"Ask the user to set {variable} in the host's configuration of this server and restart it, "
            "or to try it without an account, with --simulate: that makes no real video."
        )


class MissingKeyError(MissingSettingError):
    """No API key is set, so nothing can be asked of the service."""

    def __init__(self) -> None:
        super().__init__("SORA2_API_KEY", "is not set, and the service needs an API key")
        self.hint += " SORA2_SERVICE chooses who makes videos: kie, openrouter, or a GPU of their own (openai)."


class ArgumentError(Sora2Error):
    """An argument is outside what is allowed."""

    hint = "Correct the argument and call again."

    def __init__(self, argument: str, problem: str) -> None:
        super().__init__(f"{argument} {problem}")
        self.argument = argument


class UnknownTaskError(Sora2Error):
    """No task of this caller has that id; another caller's id looks the same."""

    hint = "Call list_tasks to see the tasks there are, with their ids."

    def __init__(self, task_id: str) -> None:
        super().__init__(f"There is no task {quoted(task_id[:80])}")
        self.task_id = task_id


class KeyReusedError(Sora2Error):
    """The idempotency key belongs to another order, or to one that failed."""

    def __init__(self, key: str, problem: str, hint: str) -> None:
        super().__init__(f"idempotency_key {quoted(key)} {problem}")
        self.key = key
        self.hint = hint


class LimitError(Sora2Error):
    """A budget set by the operator is used up; frees itself later."""

    retryable = True

    def __init__(self, variable: str, limit: float, used: float, frees: str) -> None:
        super().__init__(f"The limit {variable}={limit:g} is reached ({used:g} counted)")
        self.variable = variable
        self.limit = limit
        self.used = used
        self.frees = frees
        shown = " list_tasks shows them." if variable == "SORA2_MAX_ACTIVE_TASKS" else ""
        self.hint = (
            f"{frees}{shown} Tell the user; only this server's operator can raise {variable}, in its configuration."
        )


class CannotAskError(Sora2Error):
    """A person must agree to each order, and this host has no way to ask one."""

    needs_change = True
    hint = (
        "Ask the user to order it with `sora2-mcp generate`, to use a host that can put questions to them, or to set "
        "SORA2_CONFIRM=never: then every order is sent, and paid for, without asking anybody."
    )

    def __init__(self, problem: str = "cannot ask one") -> None:
        super().__init__(f"SORA2_CONFIRM wants a person to agree to this order, but this host {problem}")


class NotAskedError(Sora2Error):
    """A person must agree to this order, and the question was not put, or its answer came too late."""

    retryable = True
    hint = "Repeat the same call: the user is asked then."

    def __init__(self, problem: str = "has not been asked") -> None:
        super().__init__(f"SORA2_CONFIRM wants a person to agree to this order, who {problem}")


class DeclinedError(Sora2Error):
    """The user was asked and did not agree."""

    hint = "Do not repeat it; ask the user what they want instead."

    def __init__(self) -> None:
        super().__init__("The user did not agree to this order")


STORE_PASSES = "Repeat the same call in some seconds; if it stays so, ask the user to check SORA2_DATABASE_URL."
STORE_CLOSED = "Repeat the same call once the server runs again."


class StoreError(Sora2Error):
    """The task store cannot be opened, read or written."""

    retryable = True

    def __init__(
        self, problem: str, *, variable: str = "SORA2_DATABASE_URL", hint: str = "", cli_hint: str | None = None
    ) -> None:
        super().__init__(f"The task store ({variable}) {problem}")
        self.variable = variable
        self.cli_hint = cli_hint
        self.hint = hint or (
            f"Check {variable}, and that its server answers or its folder has space and rights, then repeat the call."
        )


class DownloadError(Sora2Error):
    """A finished video's file could not be saved; another try may do it."""

    retryable = True

    def __init__(self, task_id: str, problem: str, hint: str = "", cli_hint: str | None = None) -> None:
        super().__init__(f"The video of task {task_id} was not saved: {problem}")
        self.task_id = task_id
        self.cli_hint = cli_hint
        self.hint = hint or self.hint or f'Call download_video(task_id="{task_id}") again in a minute.'


class NoVideoError(DownloadError):
    """There is nothing to save: the task has no video, or the service no longer gives it out."""

    retryable = False
    hint = "Look with get_task_status what became of the task."


class UnwritableError(DownloadError):
    """The disk, the folder or the size limit is in the way."""

    needs_change = True
    hint = "Ask the user to check SORA2_VIDEO_DIR (its free space and rights), then repeat the same call."


class PreviewError(Sora2Error):
    """A finished video cannot be looked at; it may play all the same."""

    def __init__(self, task_id: str, problem: str, hint: str = "") -> None:
        super().__init__(f"The video of task {task_id} cannot be looked at: {problem}")
        self.hint = hint or "Give the user the video's link or path instead: a player may still show it."


class NotReachedError(Sora2Error):
    """Nothing got as far as the service: no connection, or something in front of it answered with a refusal."""

    retryable = True
    hint = "Check the network and SORA2_API_BASE_URL, then repeat the same call."

    def __init__(self, reason: str) -> None:
        super().__init__(f"The service could not be reached ({reason})")
        self.reason = reason


class ProxyError(NotReachedError):
    """The proxy that the environment names refused, or its variable cannot be used."""

    needs_change = True
    hint = "Ask the user to check the proxy that the environment of this server names, then repeat the same call."


class CertificateError(NotReachedError):
    """The service's certificate is not trusted, or the authorities to trust cannot be read."""

    needs_change = True
    hint = (
        "Ask the user to check SSL_CERT_FILE in the environment of this server: it names the file of a company's own "
        "certificate authority. Then restart the server and repeat the same call."
    )


class GatewayError(NotReachedError):
    """A gateway, a firewall or a log-in page refused the request in place of the service."""

    needs_change = True
    hint = (
        "Something in front of the service refused it in the service's place: ask the user to check the network and "
        "SORA2_API_BASE_URL, then repeat the same call."
    )


class LostAnswerError(Sora2Error):
    """The request was sent, but no readable answer came back: it is unknown whether it took effect."""

    retryable = True
    hint = "Repeat the same call in a minute."

    def __init__(self, reason: str) -> None:
        super().__init__(f"The service gave no readable answer ({reason})")
        self.reason = reason


class ServiceError(Sora2Error):
    """The service answered with an error code.

    Source: the vendor's quick start, "Status Codes", and the codes real clients met.
    """

    code: int = 0
    says: ClassVar[str] = "; the service says"
    what: ClassVar[str] = "The service answered with an unknown code"
    hint = "Tell the user the code and the service's words."

    def __init__(self, message: str = "", *, code: int | None = None, retry_after_seconds: float | None = None) -> None:
        self.code = self.code if code is None else code
        says = f"{self.says} {quoted(message)}" if message.strip() else ""
        super().__init__(f"{self.what} ({self.code}){says}")
        self.message = message
        self.retry_after_seconds = retry_after_seconds

    @property
    def own_words(self) -> str:
        return f"{self.what} ({self.code})"


class BadRequestError(ServiceError):
    code = 400
    what = "The service refused the request's content"
    hint = "Change the prompt or the images (its content rules, or an address it cannot open), then order again."


class UnauthorizedError(ServiceError):
    code = 401
    needs_change = True
    what = "The service does not accept the API key"
    hint = "Ask the user to correct SORA2_API_KEY (and SORA2_API_BASE_URL) and restart the server."


class NoCreditsError(ServiceError):
    code = 402
    needs_change = True
    what = "The account has no credits left"
    hint = "Ask the user to top up their account on the service's own site, then repeat the same call."


class NotFoundError(ServiceError):
    code = 404
    what = "The service knows no such task or path"
    needs_change = True
    hint = "SORA2_API_BASE_URL is probably wrong: ask the user to check it, path included, and restart the server."


class ValidationRefusedError(ServiceError):
    code = 422
    what = "The service found a parameter invalid"
    hint = "Change the parameter it names, then order again."


class RateLimitedError(ServiceError):
    code = 429
    retryable = True
    what = "The service limits how often it is called"
    hint = "Wait a minute, then repeat the same call."


class KeyLimitError(ServiceError):
    code = 433
    needs_change = True
    what = "The API key has reached a limit of its own"
    hint = "Ask the user to raise the limit of the API key in their account, then repeat the same call."


class ImageNotFetchedError(ServiceError):
    code = 451
    says = ":"
    what = "An image could not be fetched"
    hint = "Give public addresses of images that open without a login, or whole files, then order again."


class MaintenanceError(ServiceError):
    code = 455
    retryable = True
    what = "The service is down for maintenance"
    hint = "Repeat the same call in some minutes."


class ServerFaultError(ServiceError):
    code = 500
    retryable = True
    what = "The service failed inside"
    hint = "Repeat the same call in a minute; if it stays so, the vendor's support must look."


class GenerationFailedError(ServiceError):
    code = 501
    what = "The service failed to generate"
    hint = "Change the prompt and order again with generate_video."


class FeatureDisabledError(ServiceError):
    code = 505
    what = "The service has switched this feature off"
    hint = "Change what is asked for (quality, images, aspect ratio), or ask the vendor."


SERVICE_ERRORS: dict[int, type[ServiceError]] = {error.code: error for error in ServiceError.__subclasses__()}


def service_error(code: int, message: str = "", *, retry_after_seconds: float | None = None) -> ServiceError:
    """The error class of a code of the service's table, or ``ServiceError`` itself for one not in it."""
    # A gateway before the service fails with 502, 503 and 504.
    kind = ServerFaultError if code in (502, 503, 504) else SERVICE_ERRORS.get(code, ServiceError)
    return kind(message, code=code, retry_after_seconds=retry_after_seconds)
