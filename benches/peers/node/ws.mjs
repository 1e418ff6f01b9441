// npm `ws`, with its native addon `bufferutil`: echo, with or without permessage-deflate, and a broadcast as its
// documentation shows it.
//
// usage: node ws.mjs echo|deflate|fanout PORT

import WebSocket, { WebSocketServer } from "ws";

const [kind, port] = process.argv.slice(2);
// No context takeover, and no message too short to be compressed: the same work for every server.
const deflate = { serverNoContextTakeover: true, clientNoContextTakeover: true, threshold: 0 };
const server = new WebSocketServer({
  host: "127.0.0.1",
  port: Number(port),
  backlog: 4096,
  maxPayload: 1024 * 1024,
  perMessageDeflate: kind === "deflate" ? deflate : false,
});

server.on("connection", (socket) => {
  socket.on("error", () => {});
  socket.on("message", (message, binary) => {
    if (kind !== "fanout") {
      socket.send(message, { binary });
      return;
    }
    for (const client of server.clients) {
      if (client.readyState === WebSocket.OPEN) client.send(message, { binary });
    }
  });
});
