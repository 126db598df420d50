"""All settings, and the only reader of the environment and of `voxswap.toml`.

Each section is the frozen dataclass that stands beside its user. Precedence: command line > VOXSWAP_* > voxswap.toml >
defaults. A mistyped key of the file is an error; a mistyped variable cannot be one (the environment belongs to
everyone), so `unknown_variables` finds those, and `voxswap check-config` and the server's start tell of them.
"""

import os
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from voxswap_server.auth import SecurityConfig
from voxswap_server.engine.admission import AdmissionConfig
from voxswap_server.engine.backends import EngineConfig
from voxswap_server.engine.conditioning import CacheConfig
from voxswap_server.engine.device import DeviceConfig
from voxswap_server.engine.live.limits import LiveLimits
from voxswap_server.engine.prompts import PromptConfig
from voxswap_server.engine.residency.contract import ResidencyConfig
from voxswap_server.engine.scheduler import SchedulerConfig
from voxswap_server.engine.speakers import SpeakersConfig
from voxswap_server.engine.synthesizer import SpeechConfig
from voxswap_server.engine.worker import WorkerConfig
from voxswap_server.errors import ConfigError
from voxswap_server.http.server import HttpConfig
from voxswap_server.logs import LogConfig
from voxswap_server.rpc.server import RpcConfig
from voxswap_server.tracing import TracingConfig

PREFIX = "VOXSWAP_"
FILE = Path("voxswap.toml")
CLIENT_VARIABLES = frozenset(
    f"VOXSWAP_{name}" for name in ("ADDRESS", "API_KEY", "TLS_CA", "TLS_CERT", "TLS_KEY", "TLS_NAME")
)
"""Read by the client's command line, not by the server."""


@dataclass(frozen=True, slots=True)
class MetricsConfig:
    enabled: bool = True
    host: str = "127.0.0.1"
    port: int = 9464
    """0 picks a free one."""
    voice_labels: bool = False
    """Label the load and eviction counters by voice."""


@dataclass(frozen=True, slots=True)
class VoicesConfig:
    prewarm: tuple[str, ...] = ()
    """Loaded before the server says that it is ready."""
    pin: tuple[str, ...] = ()
    """Loaded then too, and never evicted."""
    warm_languages: tuple[str, ...] = ("en",)
    """Of en, zh, ja, ko, yue: front-ends loaded at the start; others load at their first use, which takes seconds."""
    built_in: bool = True
    """Serve the voices that come with voxswap beside those of the store."""


@dataclass(frozen=True, slots=True)
class PoolConfig:
    text_threads: int = 2
    audio_threads: int = 2


class Settings(BaseSettings):
    """The settings of a server."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        nested_model_default_partial_update=True,
    )

    store: Path = Path("model_store")
    """Root of the voices and of the shared networks."""
    device: DeviceConfig = DeviceConfig()
    engine: EngineConfig = EngineConfig()
    residency: ResidencyConfig = ResidencyConfig()
    voices: VoicesConfig = VoicesConfig()
    scheduling: SchedulerConfig = SchedulerConfig()
    worker: WorkerConfig = WorkerConfig()
    admission: AdmissionConfig = AdmissionConfig()
    speech: SpeechConfig = SpeechConfig()
    live: LiveLimits = LiveLimits()
    prompts: PromptConfig = PromptConfig()
    cache: CacheConfig = CacheConfig()
    speakers: SpeakersConfig = SpeakersConfig()
    pools: PoolConfig = PoolConfig()
    rpc: RpcConfig = RpcConfig()
    http: HttpConfig = HttpConfig()
    security: SecurityConfig = SecurityConfig()
    metrics: MetricsConfig = MetricsConfig()
    logs: LogConfig = LogConfig()
    tracing: TracingConfig = TracingConfig()


class BadSettings(ConfigError):
    """A setting has no such name, or cannot have such a value."""


def load_settings(file: Path | None = None, **changes: Any) -> Settings:
    """Reads the file and the environment.

    Args:
        file: None is `voxswap.toml` in the working directory, if it is there.
        changes: sections or parts of them that win over everything, such as `rpc={"address": "[::]:50051"}`.

    Raises:
        BadSettings: names every setting that is wrong.
    """
    if file is not None and not file.is_file():
        raise BadSettings(f"there is no settings file {str(file)!r}")
    path = file or FILE

    class _Sources(Settings):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - a file beside the program is the TOML's job
            file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, path)

    try:
        return _Sources(**changes)
    except ValidationError as error:
        raise BadSettings(
            "; ".join(f"{'.'.join(map(str, wrong['loc']))}: {wrong['msg']}" for wrong in error.errors())
        ) from None
    except tomllib.TOMLDecodeError as error:
        raise BadSettings(f"{path.name} is not TOML: {error}") from None


def unknown_variables(environment: Mapping[str, str] = os.environ) -> Iterator[str]:
    """Yields a line for each VOXSWAP_* variable that no setting answers to, with the nearest one that does."""
    known = {PREFIX + "__".join(path).upper() for path in _paths(Settings)}
    sections = {PREFIX + name.upper() for name in Settings.model_fields}
    for name in sorted(environment):
        upper = name.upper()
        if upper.startswith(PREFIX) and upper not in known | sections | CLIENT_VARIABLES:
            near = get_close_matches(upper, sorted(known), n=1)
            yield f"{name} is no setting" + (f"; did you mean {near[0]}?" if near else "")


def _paths(settings: type[Settings]) -> Iterable[tuple[str, ...]]:
    for name, field in settings.model_fields.items():
        yield from ((name, *rest) for rest in _leaves(field.default))


def _leaves(value: object) -> Iterator[tuple[str, ...]]:
    if not is_dataclass(value):
        yield ()
        return
    for field in fields(value):
        yield from ((field.name, *rest) for rest in _leaves(getattr(value, field.name)))
