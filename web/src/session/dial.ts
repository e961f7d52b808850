// A browser's WebSocket as the connection's wire.
import type { Wire, WireEvents } from "../protocol/connection";

function base64url(text: string): string {
  const binary = String.fromCharCode(...new TextEncoder().encode(text));
  return btoa(binary).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
}

/** Browsers cannot set headers of a handshake: the token travels as a subprotocol, which the server does not echo. */
export function dialWebSocket(token: string, events: WireEvents): Wire {
  const address = new URL("/ws", location.href);
  address.protocol = address.protocol === "https:" ? "wss:" : "ws:";
  const socket = new WebSocket(address, ["netra.v1", `jwt.${base64url(token)}`]);
  socket.addEventListener("message", (message: MessageEvent<unknown>) => {
    if (typeof message.data === "string") events.received(message.data);
  });
  socket.addEventListener("close", (close) => events.closed(close.code));
  return {
    send: (text) => {
      if (socket.readyState === WebSocket.OPEN) socket.send(text);
    },
    close: () => socket.close(),
  };
}
