"""Questions on the terminal for what the options of ``smdl init`` leave open."""

import sys
from collections.abc import Callable
from typing import TypeVar

from smdl.foundation.errors import WrongUsage

Answer = TypeVar("Answer")


def steps(text: str) -> tuple[int, ...]:
    """The steps in text such as ``1000,2000``, in their order; ValueError where it holds anything else."""
    return tuple(sorted({int(part) for part in text.split(",")}))


def ask(option: str, question: str, read: Callable[[str], Answer] = str) -> Answer:
    """The answer to a question, asked again until ``read`` makes sense of it.

    Raises WrongUsage, which names the ``option`` that stands for the answer, where there is no terminal to ask on.
    """
    if not sys.stdin.isatty():
        raise WrongUsage(f"{option} is missing, and there is no terminal to ask on: {question}")
    answer = None
    while answer is None:
        answer = _answered(option, question, read)
    return answer


def ask_or_all(option: str, question: str, read: Callable[[str], Answer]) -> Answer | None:
    """As ``ask``, but an empty answer, and no terminal, stand for all: None."""
    return _answered(option, f"{question} (empty: all)", read) if sys.stdin.isatty() else None


def _answered(option: str, question: str, read: Callable[[str], Answer]) -> Answer | None:
    """What is typed, as ``read`` makes sense of it; None where nothing is."""
    while True:
        try:
            answer = input(f"{question}: ").strip()
            return read(answer) if answer else None
        except ValueError:
            sys.stdout.write(f"{answer!r} is no answer to that.\n")
        except EOFError:
            sys.stdout.write("\n")
            raise WrongUsage(f"{option}: no answer; nothing was written") from None
