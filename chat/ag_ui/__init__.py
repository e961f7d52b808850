"""AG-UI 1.0 (docs.ag-ui.com): what its clients ask for as commands of ours, and our run events as theirs. No I/O.

`asked` reads the `RunAgentInput` of a request, `translation` makes the events of its answer. docs/ag-ui.md tells what
maps to what.
"""

from chat.ag_ui.asked import Answer, Asked, History, Question, parse_input
from chat.ag_ui.translation import Followed, Translation

__all__ = ["Answer", "Asked", "Followed", "History", "Question", "Translation", "parse_input"]
