"""The AsyncAPI 3.0 document of the socket and of the streams, made from the types of `chat.protocol`. No I/O.

`python -m chat.asyncapi > docs/asyncapi.json` writes the committed copy.
"""

from chat.asyncapi.document import document

__all__ = ["document"]
