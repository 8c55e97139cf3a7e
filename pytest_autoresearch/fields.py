"""The types of what stands in a `problem.yaml`: what is accepted, and what is said of what is not."""

from __future__ import annotations

import math
import os.path
import re
import shlex
import warnings
from pathlib import PurePosixPath
from typing import Annotated, Literal, get_args
from urllib.parse import urlsplit

from pydantic import AfterValidator, AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo
from pydantic.config import JsonDict
from pydantic.fields import FieldInfo

Provider = Literal["ollama", "openrouter", "openai", "tuner", "hybrid", "replay", "auto"]
ProviderName = Literal["ollama", "openrouter", "openai"]
NoiseTest = Literal["pooled", "paired"]
Sampler = Literal["tpe", "cmaes", "random"]
AgentName = Literal["claude", "codex", "opencode", "editor"]
EngineName = Literal["local", "ray"]
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_RESOURCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def _regex(pattern: str) -> str:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compiled = re.compile(pattern, re.MULTILINE)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"not a regular expression ({error})") from None
    if compiled.groups < 1:
        raise ValueError("expected a group around the number, such as '^rmse: (\\S+)'")
    return pattern


def _inside(path: str) -> str:
    pure = PurePosixPath(path)
    if not path.strip() or pure.is_absolute() or ".." in pure.parts:
        raise ValueError("expected a path inside the project, relative to problem.yaml")
    return str(pure)


def _file(path: str, info: ValidationInfo) -> str:
    directory = (info.context or {}).get("directory")
    if path == (info.context or {}).get("name"):
        raise ValueError("expected a file other than the problem's own")
    if directory is not None and not os.path.isfile(directory / path):
        raise ValueError(
            f"there is no such file ({directory / path})"
            if not os.path.exists(directory / path)
            else "expected a file, not a directory"
        )
    return path


def _below(path: str) -> str:
    if path == ".":
        raise ValueError("expected a path inside the project, not the project itself")
    return path


def _existing(path: str, info: ValidationInfo) -> str:
    directory = (info.context or {}).get("directory")
    if directory is not None and not os.path.exists(directory / path):
        raise ValueError(f"there is no such file ({directory / path})")
    return path


def _one_line(text: str) -> str:
    if not text.strip():
        raise ValueError("expected a text that is not empty")
    return text


def _column(text: str) -> str:
    if not text.strip() or not text.isprintable():
        raise ValueError("expected a column name without tabs and newlines")
    return text


def _variable(name: str) -> str:
    if not _VARIABLE.fullmatch(name):
        raise ValueError("expected the name of an environment variable, such as OPENAI_API_KEY, not a key itself")
    return name


def _resource(name: str) -> str:
    if not _RESOURCE.fullmatch(name):
        raise ValueError("expected a name of letters, digits, '.', '_' and '-', such as gpu0")
    return name


def _address(url: str) -> str:
    try:
        parts = urlsplit(url.strip())
        good = parts.scheme in ("http", "https") and parts.hostname is not None and parts.port != 0
    except ValueError:  # a port that is no number, half an IPv6 address
        good = False
    if not good:
        raise ValueError("expected an address such as http://localhost:11434/v1")
    return url


def _command(command: object) -> object:
    try:
        words = shlex.split(command) if isinstance(command, str) else command
    except ValueError as error:
        raise ValueError(f"not a command ({error})") from None
    if isinstance(words, list) and not any(words[:1]):
        raise ValueError("expected a command, such as 'my-agent --headless {prompt}'")
    return words


def _gain(value: object) -> object:
    text = str(value).strip()
    number = text.removesuffix("%")
    try:
        good = not isinstance(value, bool) and 0 <= float(number) < math.inf
    except ValueError:
        good = False
    if not good:
        raise ValueError("expected a number that is not negative, such as 0.01, or a percentage, such as 0.5%")
    return text if text.endswith("%") else float(number)


def listed(value: object) -> object:
    """A single text where a list is expected is a list of one."""
    return [value] if isinstance(value, str) else value


Regex = Annotated[str, AfterValidator(_regex)]
Inside = Annotated[str, AfterValidator(_inside)]
Existing = Annotated[Inside, AfterValidator(_existing)]
Mutable = Annotated[Inside, AfterValidator(_file)]
Below = Annotated[Inside, AfterValidator(_below)]
Text = Annotated[str, AfterValidator(_one_line)]
Column = Annotated[str, AfterValidator(_column)]
Address = Annotated[Text, AfterValidator(_address)]
Gain = Annotated[float | str, BeforeValidator(_gain)]
Seconds = Annotated[float, Field(gt=0, le=10_000_000)]
Variable = Annotated[str, AfterValidator(_variable)]
Resource = Annotated[str, AfterValidator(_resource)]
CommandLine = Annotated[list[str], BeforeValidator(_command)]


class Section(BaseModel):
    """A mapping with known keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def names_of(key: str, field: FieldInfo) -> tuple[str, ...]:
    """The names under which a key may be given."""
    alias = field.validation_alias
    return tuple(map(str, alias.choices)) if isinstance(alias, AliasChoices) else (key,)


def section_of(field: FieldInfo) -> type[Section] | None:
    """The section that stands under a key, None if it holds a value."""
    kinds = get_args(field.annotation) or (field.annotation,)
    return next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, Section)), None)


def in_words(default: str) -> JsonDict:
    """What the default of a key comes to, for the documentation, where the value does not say it."""
    return {"default_in_words": default}
