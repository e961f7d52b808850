from __future__ import annotations

import json
import sys

from chat.asyncapi.document import document

sys.stdout.write(json.dumps(document(), ensure_ascii=False, indent=1) + "\n")
