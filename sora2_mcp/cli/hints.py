"""Errors in words for a person at a terminal: options by their names, next steps as commands to type.

``hint`` of an error speaks to agents, who call tools and can ask a user. Imports nothing heavy: ``serve`` needs it too.
"""

import re

from sora2_mcp import errors
from sora2_mcp.errors import ArgumentError, DeclinedError, KeyReusedError, Sora2Error

_OPTIONS = {
    "prompt": "PROMPT",
    "image_urls": "--image",
    "aspect_ratio": "--aspect-ratio",
    "callback_url": "--callback-url",
    "idempotency_key": "--idempotency-key",
    **{name: f"--{name}" for name in ("quality", "seconds", "watermark", "filename")},
}
"""What the arguments of tools are called here."""

_EXAMPLES = {
    "SORA2_MODEL": "a model's id as the service spells it, such as google/veo-3.1",
    "SORA2_API_BASE_URL": "your server's address, such as http://127.0.0.1:8000/v1",
}
_WITHOUT_ACCOUNT = "try everything without an account: add --simulate. That makes no real video."
_TRY_AGAIN = "Try again in a minute."

# ``str.format`` fills them in from the error. A command stands at the end, so that ``typed`` can add to it.
_HINTS: dict[type[Sora2Error], str] = {
    # The message of these two says what is allowed.
    errors.ConfigurationError: "",
    errors.ArgumentError: "",
    errors.MissingSettingError: f"Set it to {{example}}, or {_WITHOUT_ACCOUNT}",
    errors.MissingKeyError: (
        "Set it to your key, and SORA2_SERVICE to the service that it is for (kie or openrouter; openai is a GPU of "
        f"your own), or {_WITHOUT_ACCOUNT}"
    ),
    errors.UnknownTaskError: "See them with: sora2-mcp tasks list",
    errors.KeyReusedError: "Give another --idempotency-key, or none, to order this.",
    errors.LimitError: "{error.frees} You can raise {error.variable}. See your tasks with: sora2-mcp tasks list",
    errors.CannotAskError: "Set SORA2_CONFIRM=never: then orders are sent, and paid for, without asking.",
    errors.NotAskedError: "Try again: you are asked then.",
    errors.DeclinedError: "",
    errors.StoreError: (
        "Check {error.variable}, and that its server answers or its folder has space and rights, then try again."
    ),
    errors.DownloadError: f"{_TRY_AGAIN[:-1]}: sora2-mcp tasks download {{error.task_id}}",
    errors.NoVideoError: "See how it stands with: sora2-mcp tasks show {error.task_id}",
    errors.UnwritableError: "Check SORA2_VIDEO_DIR (its free space and rights), then try again.",
    errors.PreviewError: "A player may still show it.",
    errors.NotReachedError: "Check the network and SORA2_API_BASE_URL, then try again.",
    errors.ProxyError: "Correct HTTPS_PROXY, HTTP_PROXY or ALL_PROXY, or take them out. sora2-mcp doctor says more.",
    errors.CertificateError: (
        "Set SSL_CERT_FILE to the file of your company's certificate authority, or take it out. sora2-mcp doctor says "
        "more."
    ),
    errors.GatewayError: (
        "Check the network and SORA2_API_BASE_URL: something in front of the service refused in its place."
    ),
    errors.LostAnswerError: _TRY_AGAIN,
    errors.ServiceError: "The service's own documentation may say what that code means.",
    errors.BadRequestError: (
        "Change the prompt or the images (its content rules, or an address it cannot open), then order again."
    ),
    errors.UnauthorizedError: "Correct SORA2_API_KEY, and SORA2_API_BASE_URL if the key is of another gateway.",
    errors.NoCreditsError: "Top up the account on the service's own site, then try again.",
    errors.NotFoundError: "Check SORA2_API_BASE_URL, path included.",
    errors.ValidationRefusedError: "Change what it names, then order again.",
    errors.RateLimitedError: _TRY_AGAIN,
    errors.KeyLimitError: "Raise the limit of the API key in your account, then try again.",
    errors.ImageNotFetchedError: (
        "Give public addresses of images that open without a login, or whole files, then order again."
    ),
    errors.MaintenanceError: "Try again in some minutes.",
    errors.ServerFaultError: "Try again in a minute; if it stays so, the vendor's support must look.",
    errors.GenerationFailedError: "Change the prompt, then order again.",
    errors.FeatureDisabledError: ("Change what is asked for (--quality, --image, --aspect-ratio), or ask the vendor."),
}

_COMMAND = re.compile(r"sora2-mcp (?:tasks|generate|gallery) [^\n]*$", re.MULTILINE)


def problem(error: Sora2Error) -> str:
    """What went wrong, in a sentence."""
    if isinstance(error, DeclinedError):
        return "You did not agree to this order"
    argument = error.argument if isinstance(error, ArgumentError) else ""
    if isinstance(error, KeyReusedError):
        argument = "idempotency_key"
    return _OPTIONS.get(argument, argument) + str(error).removeprefix(argument)


def hint(error: Sora2Error, *, simulate: bool = False) -> str:
    """What to do about it; empty where the sentence says all. ``simulate``: the command was called with that option."""
    words = error.cli_hint
    if words is None:
        # Errors of the command line's own are in no table: they speak to a person anyway.
        known = (_HINTS[kind] for kind in type(error).__mro__ if kind in _HINTS)
        words = next(known, error.hint.replace("{", "{{").replace("}", "}}"))
        example = _EXAMPLES.get(error.variable, "") if isinstance(error, errors.ConfigurationError) else ""
        words = words.format(error=error, example=example)
    return typed(words, simulate=simulate)


def typed(words: str, *, simulate: bool) -> str:
    """The same words, where the command at the end of a line is about the same tasks: the simulator has its own."""
    return _COMMAND.sub(r"\g<0> --simulate", words) if simulate else words
