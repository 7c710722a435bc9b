"""VITA-1.5 on a GPU, with an image. Needs the checkpoint's folder and about 18 GB of GPU memory.

Run: python vita_gpu.py /path/to/VITA-1.5 picture.png "What is the area of the square?"
"""

from __future__ import annotations

import sys

from vitarmm_agent import Problem, ReasoningAgent


def main(folder: str, picture: str, question: str) -> None:
    """Solve one problem; VITA reasons and writes the memory."""
    agent = ReasoningAgent.open(reasoner=f"vita:{folder}")
    result = agent.solve(Problem(text=question, images=(picture,)))
    print(result.answer, result.status)


if __name__ == "__main__":
    main(*sys.argv[1:4])
