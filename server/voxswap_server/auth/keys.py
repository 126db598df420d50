"""The keys file: which keys there are, by their hashes, and what each may do.

Knows nothing of who asks. A key is 256 random bits, so its plain SHA-256 is as hard to turn back as the key is to
guess: salts and slow hashes are for what people think up. A key is shown once, when it is made; no file ever has it.
"""

import fcntl
import hashlib
import os
import secrets
import tomllib
from collections.abc import Callable, Collection
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Self

import tomli_w
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from voxswap_server.errors import ConfigError

KEY_PREFIX = "voxswap_"
"""So that those who scan for leaked secrets know one when they see it."""
KEY_BYTES = 32


class Scope(StrEnum):
    """What a key may be good for."""

    SPEAK = "speak"
    """Synthesis, and reading which voices there are."""
    VOICES = "voices"
    """Voices and speakers: list, import, change, delete, embed, compare, find."""
    ADMIN = "admin"
    """Residency: load, unload, pin, and reading what `metrics` reads."""
    METRICS = "metrics"
    """Reading the metrics, the residents and the levels of the caches."""


EVERY_SCOPE = frozenset(Scope)

_Scopes = Annotated[frozenset[Scope], Field(min_length=1)]
_Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$")]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Key(_Strict):
    """One key, as the file knows it."""

    name: _Name
    scopes: _Scopes
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    """Of the key, in hexadecimal."""
    created: AwareDatetime


class Certificate(_Strict):
    """A client certificate that may do something without a key."""

    name: Annotated[str, StringConstraints(min_length=1)]
    """Common name, or one of the alternative names."""
    scopes: _Scopes


class Keys(_Strict):
    """Everything that a keys file says."""

    keys: tuple[Key, ...] = ()
    certificates: tuple[Certificate, ...] = ()

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        for entries in (self.keys, self.certificates):
            names = [entry.name for entry in entries]
            if twice := next((name for name in names if names.count(name) > 1), None):
                raise ValueError(f"{twice!r} is there twice")
        return self


def hashed(secret: str) -> str:
    """SHA-256 of a key, in hexadecimal."""
    return hashlib.sha256(secret.encode()).hexdigest()


def parse(text: str) -> Keys:
    """What a keys file says.

    Raises:
        ConfigError: it is not TOML, or not a keys file; says which entry is wrong.
    """
    try:
        return Keys.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"the keys file is not TOML: {error}") from None
    except ValidationError as error:
        raise ConfigError(f"the keys file cannot be used: {_told(error)}") from None


def formatted(keys: Keys) -> str:
    """The text of a keys file."""
    content = keys.model_dump(exclude_defaults=True)
    for entries in content.values():
        for entry in entries:
            entry["scopes"] = sorted(entry["scopes"])
    return tomli_w.dumps(content)


def read_keys(path: Path) -> Keys:
    """What the file at a path says.

    Raises:
        ConfigError: it cannot be read, or is no keys file.
    """
    try:
        return parse(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the keys file cannot be read: {error}") from None


def create_key(path: Path, name: str, scopes: Collection[Scope]) -> str:
    """Adds a key to the file, which is made where there is none. Returns the key: the only time that it is seen.

    Raises:
        ConfigError: the name is taken or no name, there is no scope, or the file is no keys file.
        OSError: it cannot be written.
    """
    secret = KEY_PREFIX + secrets.token_urlsafe(KEY_BYTES)

    def add(keys: Keys) -> Keys:
        if any(key.name == name for key in keys.keys):
            raise ConfigError(f"there is a key {name!r} already; choose another name, or revoke it first")
        now = datetime.now(UTC).replace(microsecond=0)
        try:
            key = Key(name=name, scopes=frozenset(scopes), sha256=hashed(secret), created=now)
        except ValidationError as error:
            raise ConfigError(f"there can be no such key: {_told(error)}") from None
        return keys.model_copy(update={"keys": (*keys.keys, key)})

    _change(path, add)
    return secret


def revoke_key(path: Path, name: str) -> None:
    """Takes a key out of the file.

    Raises:
        ConfigError: there is none of this name, or the file is no keys file.
        OSError: it cannot be written.
    """

    def without(keys: Keys) -> Keys:
        left = tuple(key for key in keys.keys if key.name != name)
        if len(left) == len(keys.keys):
            known = ", ".join(key.name for key in keys.keys) or "none"
            raise ConfigError(f"there is no key {name!r}; keys: {known}")
        return keys.model_copy(update={"keys": left})

    _change(path, without)


def _change(path: Path, change: Callable[[Keys], Keys]) -> None:
    """Puts a changed file in place of another in one step, while nobody else does; only its owner may read it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    aside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        text = formatted(change(read_keys(path) if path.exists() else Keys()))
        with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
        os.fsync(folder)
    finally:
        aside.unlink(missing_ok=True)
        os.close(folder)


def _told(error: ValidationError) -> str:
    return "; ".join(f"{'.'.join(map(str, wrong['loc'])) or 'file'}: {wrong['msg']}" for wrong in error.errors())
