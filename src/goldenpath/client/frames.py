"""The native protocol's frames as a client meets them: lenient about a server that is newer.

Such a server may add fields and types of frames; both are passed over.
"""

from __future__ import annotations

import msgspec

from goldenpath.errors import UNREADABLE, CodecError
from goldenpath.wire.frames import AnyClientFrame, AnyServerFrame

_KNOWN = frozenset({"welcome", "accepted", "refused", "events", "renewed", "pong", "goodbye"})


class _Typed(msgspec.Struct):
    type: str


_encoder = msgspec.json.Encoder()
_type_decoder = msgspec.json.Decoder(_Typed)
_decoder: msgspec.json.Decoder[AnyServerFrame] = msgspec.json.Decoder(AnyServerFrame)


def encode_frame(frame: AnyClientFrame) -> str:
    """Encode a frame. Raises `UnicodeEncodeError` for text that is not Unicode."""
    return _encoder.encode(frame).decode()


def decode_frame(text: str | bytes) -> AnyServerFrame | None:
    """Decode a server's frame; None for a type that is newer than this client.

    Raises `CodecError` for what is no frame.
    """
    try:
        if _type_decoder.decode(text).type not in _KNOWN:
            return None
        return _decoder.decode(text)
    except UNREADABLE as error:
        raise CodecError(f"not a frame of this protocol: {error}") from error
