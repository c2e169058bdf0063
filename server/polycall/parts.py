"""What the settings say to single parts, in the words of those."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from polycall.config import Settings
from polycall.datadir import kept_encryption_key
from polycall.domain import EntryQuota
from polycall.engine.building import BuildSettings
from polycall.engine.entries import EntryLimits
from polycall.engine.limits import KIB, MAXIMUMS, MIB, LimitPolicy
from polycall.engine.sharing import SharingSettings
from polycall.sandbox.sandbox import Sandbox
from polycall.sealing import parse_encryption_keys
from polycall.serving import ServeError

__all__ = ["build_settings", "encryption_keys", "entry_limits", "limit_policy", "missing", "sharing_settings"]


def limit_policy(settings: Settings) -> LimitPolicy:
    """Return what runs may ask for."""
    return LimitPolicy.up_to(
        replace(
            MAXIMUMS,
            timeout_ms=int(settings.max_timeout_s * 1000),
            memory_bytes=settings.max_memory_mib * MIB,
        )
    )


def build_settings(settings: Settings) -> BuildSettings:
    """Return what builds of runtimes may take, and where their packages come from."""
    return BuildSettings(
        timeout_s=settings.build_timeout_s,
        memory_bytes=settings.build_memory_mib * MIB,
        size_bytes=settings.runtime_mib * MIB,
        disk_bytes=settings.runtimes_mib * MIB,
        preload=settings.runtime_preload,
        preload_memory_bytes=settings.runtime_preload_mib * MIB,
        python_index_url=settings.python_index_url,
        python_file_hosts=tuple(settings.python_file_hosts.replace(",", " ").split()),
        npm_registry_url=settings.npm_registry_url,
    )


def sharing_settings(settings: Settings, node: str) -> SharingSettings:
    """Return what environments that servers have of each other may take."""
    return SharingSettings(
        node=node,
        lease_s=settings.lease_s,
        wait_s=2 * settings.build_timeout_s,  # packing it included
        packed_bytes=settings.shared_runtime_mib * MIB,
        disk_bytes=settings.runtimes_mib * MIB,
    )


def encryption_keys(settings: Settings, data_dir: Path) -> tuple[bytes, ...]:
    """Return the keys that are set, else the one that is kept in the data directory. Raises ServeError."""
    if settings.encryption_key:
        return parse_encryption_keys(settings.encryption_key)
    key, path = kept_encryption_key(data_dir)
    try:
        return parse_encryption_keys(key)
    except ValueError as error:
        raise ServeError(f"The encryption key in {path} {error}; put the right one back.") from None


def entry_limits(settings: Settings) -> EntryLimits:
    """Return how much code may keep."""
    quota = EntryQuota(settings.entries, settings.entries_mib * MIB)
    return EntryLimits(quota=quota, value_bytes=settings.entry_kib * KIB)


def missing(sandbox: Sandbox) -> str:
    """Say what keeps this machine from a higher isolation level, and what would change that."""
    return "; ".join(f"{f.feature}: {f.detail} ({f.remedy})" for f in sandbox.findings if not f.ok)
