"""The command line as a client: where the server is, which key to send, how calls are made."""

from __future__ import annotations

import functools
import ipaddress
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from polycall.cli.exits import Exit
from polycall.cli.failures import Failure, rpc_failure
from polycall.cli.terminal import Progress

if TYPE_CHECKING:
    from polycall.config import Settings
    from polycall.v1.audit_service_pb2_grpc import AuditServiceStub
    from polycall.v1.execution_service_pb2_grpc import ExecutionServiceStub
    from polycall.v1.key_service_pb2_grpc import KeyServiceStub
    from polycall.v1.package_service_pb2_grpc import PackageServiceStub
    from polycall.v1.policy_service_pb2_grpc import PolicyServiceStub
    from polycall.v1.runtime_service_pb2_grpc import RuntimeServiceStub
    from polycall.v1.schedule_service_pb2_grpc import ScheduleServiceStub
    from polycall.v1.secret_service_pb2_grpc import SecretServiceStub
    from polycall.v1.server_service_pb2_grpc import ServerServiceStub
    from polycall.v1.tenancy_service_pb2_grpc import TenancyServiceStub
    from polycall.v1.webhook_service_pb2_grpc import WebhookServiceStub

__all__ = ["Client", "connect", "dialled", "rest_url", "with_client"]

_ANSWER_S = 60.0  # every call but those that wait for user code; far beyond what any of them needs
# What the server takes and sends at most is its own setting; 64 MiB of payload and room for the rest of the message.
_LARGEST_MESSAGE = 128 * 1024 * 1024

_ANY = ("0.0.0.0", "[::]", "::")  # noqa: S104  listened on, not called

_Answer = TypeVar("_Answer")


class Client:
    """A channel to one server, with one key. Use it as a context manager: leaving ends every call in progress.

    Raises Failure for a key that no header can carry.
    """

    def __init__(self, address: str, key: str) -> None:
        import grpc

        if not (key.isascii() and key.isprintable()):
            # gRPC would say no more than INTERNAL, which is what others than polycall answer
            raise Failure(
                "the API key has a character that no key has, such as a line break. Give another one with --key or"
                " POLYCALL_API_KEY.",
                Exit.DENIED,
            )
        self.address = address
        self._rpc_error: type[Exception] = grpc.RpcError
        self._metadata = (("authorization", f"Bearer {key}"),)
        options: list[tuple[str, int]] = [
            ("grpc.max_send_message_length", _LARGEST_MESSAGE),
            ("grpc.max_receive_message_length", _LARGEST_MESSAGE),
        ]
        if _is_local(address):
            options.append(("grpc.enable_http_proxy", 0))  # http_proxy without no_proxy would take even loopback
        self._channel = grpc.insecure_channel(address, options)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self._channel.close()

    @property
    def executions(self) -> ExecutionServiceStub:
        """The ExecutionService."""
        from polycall.v1.execution_service_pb2_grpc import ExecutionServiceStub

        return ExecutionServiceStub(self._channel)

    @property
    def packages(self) -> PackageServiceStub:
        """The PackageService."""
        from polycall.v1.package_service_pb2_grpc import PackageServiceStub

        return PackageServiceStub(self._channel)

    @property
    def runtimes(self) -> RuntimeServiceStub:
        """The RuntimeService."""
        from polycall.v1.runtime_service_pb2_grpc import RuntimeServiceStub

        return RuntimeServiceStub(self._channel)

    @property
    def schedules(self) -> ScheduleServiceStub:
        """The ScheduleService."""
        from polycall.v1.schedule_service_pb2_grpc import ScheduleServiceStub

        return ScheduleServiceStub(self._channel)

    @property
    def webhooks(self) -> WebhookServiceStub:
        """The WebhookService."""
        from polycall.v1.webhook_service_pb2_grpc import WebhookServiceStub

        return WebhookServiceStub(self._channel)

    @property
    def secrets(self) -> SecretServiceStub:
        """The SecretService."""
        from polycall.v1.secret_service_pb2_grpc import SecretServiceStub

        return SecretServiceStub(self._channel)

    @property
    def policies(self) -> PolicyServiceStub:
        """The PolicyService."""
        from polycall.v1.policy_service_pb2_grpc import PolicyServiceStub

        return PolicyServiceStub(self._channel)

    @property
    def keys(self) -> KeyServiceStub:
        """The KeyService."""
        from polycall.v1.key_service_pb2_grpc import KeyServiceStub

        return KeyServiceStub(self._channel)

    @property
    def tenancy(self) -> TenancyServiceStub:
        """The TenancyService."""
        from polycall.v1.tenancy_service_pb2_grpc import TenancyServiceStub

        return TenancyServiceStub(self._channel)

    @property
    def audit(self) -> AuditServiceStub:
        """The AuditService."""
        from polycall.v1.audit_service_pb2_grpc import AuditServiceStub

        return AuditServiceStub(self._channel)

    @property
    def server(self) -> ServerServiceStub:
        """The ServerService."""
        from polycall.v1.server_service_pb2_grpc import ServerServiceStub

        return ServerServiceStub(self._channel)

    def call(
        self, method: Callable[..., Any], request: Any, *, timeout_s: float = _ANSWER_S, what: str = "the server"
    ) -> Any:
        """Return the answer of a unary method of one of the stubs; say that ``what`` is waited for. Raises Failure."""
        try:
            with Progress(f"waiting for {what}"):
                return method(request, metadata=self._metadata, timeout=timeout_s)
        except self._rpc_error as error:
            raise rpc_failure(error, self.address) from None

    def stream(self, method: Callable[..., Any], request: Any) -> Iterator[Any]:
        """Yield the messages of a server stream; leaving the loop, by Ctrl-C too, cancels the call. Raises Failure.

        It has no deadline of its own: a deadline would bound the user's run, which the server does already.
        """
        messages = method(request, metadata=self._metadata)
        try:
            yield from messages
        except self._rpc_error as error:
            raise rpc_failure(error, self.address) from None
        finally:
            messages.cancel()


def with_client(command: Callable[..., _Answer]) -> Callable[..., _Answer]:
    """Give a command the options ``--server`` and ``--key``, and the client they make as its first argument."""

    @click.option(
        "--server",
        envvar="POLYCALL_SERVER",
        metavar="ADDRESS",
        help="Server's gRPC address; default: POLYCALL_SERVER, else POLYCALL_GRPC_ADDRESS, else 127.0.0.1:50051.",
    )
    @click.option(
        "--key",
        envvar="POLYCALL_API_KEY",
        metavar="KEY",
        help="API key; default: POLYCALL_API_KEY, else the data directory's bootstrap.key.",
    )
    @functools.wraps(command)
    def wrapped(*args: Any, server: str | None, key: str | None, **options: Any) -> _Answer:
        with connect(server, key) as client:
            return command(client, *args, **options)

    return wrapped


def connect(server: str | None, key: str | None) -> Client:
    """Return a client; without an address or a key, what the settings of this machine's server say. Raises Failure."""
    if server and key:
        return Client(server, key)
    settings = _settings()
    address = server or settings.grpc_address
    return Client(address, key or _key_of(settings, address))


def rest_url(address: str) -> str:
    """Return the base URL of REST at this machine's server. Raises Failure for another machine's: nobody knows."""
    rest = _settings().rest_address
    if not _is_local(address) or not rest:
        raise Failure(f"where does the server at {address} serve REST? Give its base URL with --rest.")
    return f"http://{dialled(rest)}"


def dialled(address: str) -> str:
    """Return an address that can be called for one that is listened on."""
    host, colon, port = address.rpartition(":")
    return f"127.0.0.1{colon}{port}" if host in _ANY else address


def _settings() -> Settings:
    from polycall.config import ConfigError, load

    try:
        return load()
    except ConfigError as error:
        raise Failure(str(error)) from None


def _key_of(settings: Settings, address: str) -> str:
    """Return the local server's bootstrap key. It is sent to no other machine: it may do everything here."""
    if settings.bootstrap_key and _is_local(address):
        return settings.bootstrap_key
    file = settings.data_dir / "bootstrap.key"
    if not _is_local(address):
        raise Failure(f"no API key for {address}: give one with --key or POLYCALL_API_KEY.", Exit.DENIED)
    return _read_key(file)


def _read_key(file: Path) -> str:
    try:
        return file.read_text("utf-8").strip()
    except FileNotFoundError:
        why = f"{file} does not exist"
    except OSError as error:
        why = f"{file}: {error.strerror}"
    raise Failure(
        f"no API key ({why}). Give one with --key or POLYCALL_API_KEY; `polycall serve` makes one at its first start.",
        Exit.DENIED,
    )


def _is_local(address: str) -> bool:
    """Return True for an address that can only be this machine's own: loopback, any, or a Unix socket."""
    host = address.rpartition(":")[0].strip("[]")
    if address.startswith("unix:") or host == "localhost":
        return True
    try:
        return (ip := ipaddress.ip_address(host)).is_loopback or ip.is_unspecified
    except ValueError:
        return False
