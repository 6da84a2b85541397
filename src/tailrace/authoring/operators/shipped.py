"""The operators that ship with Tailrace: bash, Python, nothing, and the two that decide."""

import errno
import functools
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Unpack

from tailrace.authoring.arguments import bash_command as bash
from tailrace.authoring.arguments.declarations import arguments_of
from tailrace.authoring.arguments.task_arguments import (
    BASH_COMMAND,
    PYTHON_CALLABLE,
    BashArguments,
    PythonArguments,
    ShortCircuitArguments,
)
from tailrace.authoring.context.calling import accepted, parameters_of, takes
from tailrace.authoring.context.current import Context
from tailrace.authoring.context.results import BranchResult, is_success, settled
from tailrace.authoring.context.variables import ON_DEMAND, VARIABLES
from tailrace.authoring.dags.dag import BaseOperator
from tailrace.authoring.relations.xcom_args import RETURN_VALUE, PullFor, resolve
from tailrace.errors import TaskFailed, TaskSkipped
from tailrace.model.spec import BranchKind

if TYPE_CHECKING:
    from tailrace.authoring.operators.operator_arguments import (
        BashOperatorArguments,
        BranchOperatorArguments,
        PythonOperatorArguments,
        ShortCircuitOperatorArguments,
    )

_PIECE = 1 << 16

#: Of a command's last line, in bytes: more can be no XCom, and would only fill the memory.
_LONGEST_LINE = 16 * 1024 * 1024
#: Of the error of a command that fails, so much is kept.
_LONGEST_REASON = 1000
#: Of these there may be enough again in a moment: a command is not failed for want of them at once.
_SHORTAGES = (errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE)
_SHORTAGE_SECONDS = 300.0

#: Signals that end a task by an exception from their handler.
_RAISING = (signal.SIGTERM, signal.SIGINT, signal.SIGALRM, signal.SIGHUP)


class EmptyOperator(BaseOperator):
    """Does nothing: a place in the graph to join or fork at."""

    def execute(self, context: Mapping[str, Any]) -> None:
        """Nothing."""


class RunsBash(BaseOperator):
    """What operators that run a bash command have in common: its surroundings, and what becomes of it."""

    env: Any
    append_env: bool
    cwd: Any
    skip_on_exit_code: tuple[int, ...]
    _declared = {**BaseOperator._declared, **arguments_of(BashArguments)}

    def run_in_bash(self, command: Any) -> str:
        """Run a command; returns the last line it printed."""
        environment = None if self.env is None else bash.variables(self.env, append=self.append_env)
        sys.stdout.flush()
        with bash.given(command) as (arguments, descriptors):
            started = _started(arguments, descriptors, self.cwd, environment)
        with started as process:
            assert process.stdout is not None
            notes = _Output(process.stdout.fileno())
            try:
                notes.forward()
            except BaseException:
                notes.forward()  # asked to end, like bash itself: what that prints as it cleans up is read as well
                raise
        code = process.returncode
        if code in self.skip_on_exit_code:
            raise TaskSkipped(f"bash exited {code}, which skips")
        if code != 0:
            how = f"was killed by signal {-code}" if code < 0 else f"exited {code}"
            why = notes.last_line[:_LONGEST_REASON].strip()
            raise BashFailed(f"bash {how}" + (f": {why}" if why else ""))
        if notes.length > _LONGEST_LINE and self.do_xcom_push:
            raise BashFailed(
                f"its last line, {notes.length:,} bytes, is too long for an XCom (at most {_LONGEST_LINE:,}): write it "
                "to a file and print the path, or set do_xcom_push=False"
            )
        return notes.last_line


class BashOperator(RunsBash):
    """Runs ``bash_command`` in bash. Its output goes to the log as it comes; the last line is its XCom.

    A non-zero exit fails the try; ``skip_on_exit_code`` (99, or several, or None) skips instead. ``env`` replaces the
    environment unless ``append_env``. A command of one word that ends in ``.sh`` or ``.bash`` names a template file in
    the folder of the DAG's file, or along its ``template_searchpath``.
    """

    template_fields: ClassVar[Sequence[str]] = ("bash_command", "env", "cwd")
    template_ext: ClassVar[Sequence[str]] = (".sh", ".bash")
    file_fields: ClassVar[Sequence[str] | None] = ("bash_command",)

    _declared = {**RunsBash._declared, "bash_command": BASH_COMMAND}
    bash_command: Any

    if TYPE_CHECKING:

        def __init__(self, **arguments: Unpack[BashOperatorArguments]) -> None: ...

    def execute(self, context: Mapping[str, Any]) -> str:
        """Run the command; returns the last line it printed."""
        return self.run_in_bash(self.bash_command)


def _started(
    arguments: list[str | bytes], descriptors: tuple[int, ...], cwd: Any, environment: Mapping[bytes, bytes] | None
) -> "subprocess.Popen[bytes]":
    """Bash, with the command. Where no process or descriptor can be had for it just now, it is waited for a while."""
    give_up = time.monotonic() + _SHORTAGE_SECONDS
    notes = False
    while True:
        try:
            return subprocess.Popen(
                arguments,
                executable=_where_bash_is(),
                bufsize=0,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                cwd=cwd,
                env=environment,
                pass_fds=descriptors,
            )
        except OSError as trouble:
            if trouble.errno == errno.E2BIG:
                raise bash.too_much(environment) from None
            if trouble.errno not in _SHORTAGES or time.monotonic() >= give_up:
                raise
            if not notes:
                print(f"bash cannot be started now ({trouble.strerror}); this is tried again", flush=True)
                notes = True
            time.sleep(1.0)


@functools.cache
def _where_bash_is() -> str:
    """Looked for once: else each command looks through the whole PATH, and that of its ``env`` may not lead to it.

    (``shutil`` knows how, and would bring the compression libraries into every process.)
    """
    paths = (os.path.join(folder, "bash") for folder in os.get_exec_path())
    return next((path for path in paths if os.access(path, os.X_OK) and not os.path.isdir(path)), "bash")


class _Output:
    """Passes what a command says on to standard output as it comes, and keeps its last line, or the beginning of it."""

    def __init__(self, pipe: int) -> None:
        self.length = 0  # of the last line
        self._pipe = pipe
        self._last = bytearray()
        self._ended = False  # so the next byte begins another line

    def forward(self) -> None:
        """Until nobody can say anything more. What is read is passed on before a signal's handler may raise."""
        ready = select.poll()
        ready.register(self._pipe, select.POLLIN)
        while ready.poll():
            before = signal.pthread_sigmask(signal.SIG_BLOCK, _RAISING)
            try:
                if not self._forward_piece():
                    return
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def _forward_piece(self) -> bool:
        piece = os.read(self._pipe, _PIECE)
        if not piece:
            return False
        written = 0
        while written < len(piece):  # nothing waits in a buffer when this process is killed
            written += os.write(1, piece[written:])
        begins = piece.rfind(b"\n", 0, len(piece) - 1) + 1
        if begins or self._ended:
            self._last.clear()
            self.length = 0
        self._ended = piece.endswith(b"\n")
        line = piece[begins : -1 if self._ended else None]
        self.length += len(line)
        self._last += line[: _LONGEST_LINE - len(self._last)]
        return True

    @property
    def last_line(self) -> str:
        """The last line, without its end: a file's name comes through, whatever bytes are in it."""
        return self._last.decode(errors="surrogateescape")


class BashFailed(Exception):
    """A bash command ended with a non-zero exit code."""


class PythonOperator(BaseOperator):
    """Calls ``python_callable``. Parameters that have the name of a template variable (``ds``, ``ti``…) receive it.

    It may be a coroutine function, which is awaited; not a generator, whose code nobody would run.
    """

    template_fields: ClassVar[Sequence[str]] = ("op_args", "op_kwargs", "templates_dict")

    _declared = {**BaseOperator._declared, **arguments_of(PythonArguments), "python_callable": PYTHON_CALLABLE}
    python_callable: Callable[..., Any]
    op_args: list[Any]
    op_kwargs: dict[str, Any]
    templates_dict: dict[str, Any]
    multiple_outputs: bool

    if TYPE_CHECKING:

        def __init__(self, **arguments: Unpack[PythonOperatorArguments]) -> None: ...

    def _on_arguments_read(self) -> None:
        function = self.python_callable
        self._described = function, parameters_of(function)  # once, not in the process of each try

    def execute(self, context: Mapping[str, Any]) -> Any:
        """Call the function; returns what it returns."""
        return self.each_key_apart(self.call(context), context)

    def each_key_apart(self, result: Any, context: Mapping[str, Any]) -> Any:
        """The result; with ``multiple_outputs`` each key of it has become an XCom too."""
        if self.multiple_outputs:
            if not isinstance(result, dict):
                raise TaskFailed(f"multiple_outputs needs a dict, and {self.task_id} returned {type(result).__name__}")
            if self.do_xcom_push and RETURN_VALUE in result:
                raise TaskFailed(f"multiple_outputs: {RETURN_VALUE!r} is the whole dict, and no key in it")
            for key, value in result.items():
                context["ti"].xcom_push(key=key, value=value)
        return result

    def look_for_mistakes(self) -> None:
        """Note a call that could not be made: too little is given, or something the function has no parameter for."""
        described, parameters = self._described
        if described is not self.python_callable:
            parameters = parameters_of(self.python_callable)
        if parameters is None or not type(self).__module__.startswith("tailrace."):  # an author's own may add arguments
            return
        offered = dict.fromkeys([*self.dag.user_defined_macros, *VARIABLES, "templates_dict"])
        try:
            parameters.own.bind(*self.op_args, **accepted(parameters, self.op_args, self.op_kwargs, offered))
        except TypeError as wrong:
            self.mistake(f"python_callable cannot be called: {wrong}")

    def call(self, context: Mapping[str, Any]) -> Any:
        """Call the function with its own arguments and those template variables it has parameters for."""
        pull = PullFor(context.get("ti"))
        args = resolve(self.op_args, pull)
        kwargs = resolve(self.op_kwargs, pull)
        described, parameters = self._described
        if described is not self.python_callable:
            parameters = parameters_of(self.python_callable)
        if isinstance(context, Context) and takes(parameters, ON_DEMAND):
            context.completed()
        offered = context.given() if isinstance(context, Context) else dict(context)
        offered["templates_dict"] = self.templates_dict
        try:
            result = self.python_callable(*args, **accepted(parameters, args, kwargs, offered))
            return result if result is None else settled(result)
        except SystemExit as ended:
            if is_success(ended):
                return None
            raise


class BranchPythonOperator(PythonOperator):
    """Follows the direct downstream task ids its function returns (one, several, or None); the others are skipped.

    The id of a task group stands for its first tasks.
    """

    decides: ClassVar[BranchKind] = BranchKind.BRANCH

    if TYPE_CHECKING:

        def __init__(self, **arguments: Unpack[BranchOperatorArguments]) -> None: ...

    def execute(self, context: Mapping[str, Any]) -> BranchResult:
        """Call the function; returns which tasks are followed."""
        chosen = self.call(context)
        return BranchResult(followed_ids(self, chosen), chosen)


def followed_ids(task: BaseOperator, chosen: Any) -> tuple[str, ...]:
    """The task ids a branch chose, a group's id being its first tasks. Raises TaskFailed for one not directly below."""
    if chosen is None:
        return ()
    ids = [chosen] if isinstance(chosen, str) else chosen
    if not isinstance(ids, (list, tuple, set)) or not all(isinstance(each, str) for each in ids):
        raise TaskFailed(f"{task.task_id} must return a task id, several, or None; it returned {chosen!r}")
    followed: set[str] = set()
    unknown = []
    for each in sorted(set(ids)):
        group = task.dag.task_group_dict.get(each)
        entered = task.downstream_task_ids & ({each} if group is None else group.first_task_ids)
        followed |= entered
        if not entered:
            unknown.append(each)
    if unknown:
        below = ", ".join(sorted(task.downstream_task_ids)) or "none"
        raise TaskFailed(
            f"{task.task_id} followed {', '.join(unknown)}, not directly downstream of it; those are: {below}"
        )
    return tuple(sorted(followed))


class ShortCircuitOperator(PythonOperator):
    """Goes on only if its function returns something true; else everything below it is skipped.

    With ``ignore_downstream_trigger_rules=False`` only its direct downstream tasks are; trigger rules decide the rest.
    """

    decides: ClassVar[BranchKind] = BranchKind.SHORT_CIRCUIT
    _declared = {**PythonOperator._declared, **arguments_of(ShortCircuitArguments)}
    ignore_downstream_trigger_rules: bool

    if TYPE_CHECKING:

        def __init__(self, **arguments: Unpack[ShortCircuitOperatorArguments]) -> None: ...

    def _on_arguments_read(self) -> None:
        super()._on_arguments_read()
        far = self.ignore_downstream_trigger_rules
        self.decides = BranchKind.SHORT_CIRCUIT if far else BranchKind.SHORT_CIRCUIT_DIRECT  # type: ignore[misc]

    def execute(self, context: Mapping[str, Any]) -> BranchResult:
        """Call the function; a false result follows nothing."""
        result = self.call(context)
        return BranchResult(None if result else (), result)
