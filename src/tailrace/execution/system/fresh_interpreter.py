"""How another interpreter is started that imports what this one imports."""

import sys

_BEGIN = "import sys; sys.path[:] = sys.argv.pop(1).split('\\n'); from {module} import main; main()"


def command_for(module: str, *arguments: str) -> list[str]:
    """The command line that runs ``main()`` of a module with this interpreter's ``sys.path``, arguments behind.

    ``python -m`` would put the working folder first there: a file in it could take the place of any library.
    """
    return [sys.executable, "-c", _BEGIN.format(module=module), "\n".join(sys.path), *arguments]
