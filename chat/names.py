"""When two user names are the same name. No I/O."""

# ruff: noqa: RUF001 - letters that look alike are what it is about

from __future__ import annotations

import unicodedata

# Letters of other scripts that, small or large, look like a plain Latin one: of two people, who has a name with them
# would pass for the other. Each pair is such a letter and the one that it looks like.
_LOOK_ALIKES = (
    "аa вb ԁd еe һh іi јj кk мm нh оo рp ԛq гr сc ѕs тt уy ѵv ԝw хx ӏl "  # Cyrillic
    "αa γy εe ιi κk νv οo ρp τt υu χx ϳj "  # Greek
    "հh ոn օo սu "  # Armenian
    "ɑa ɡg ıi"  # Latin
)
_PLAIN = str.maketrans({pair[0]: pair[1] for pair in _LOOK_ALIKES.split()})


def same_name(username: str) -> str:
    """One text for all writings of a name: whatever differs in case only, or only in code points that look alike."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", username).casefold())
    return folded.translate(_PLAIN)
