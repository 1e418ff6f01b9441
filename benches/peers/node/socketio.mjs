// Socket.IO over its WebSocket transport: an event that is answered by an event with the same arguments, and a broadcast to a
// room. Set up to be fast: no compression, no long-polling, `ws` with its native addon. (`eiows` needs Node 22, or sources from GitHub.)
//
// usage: node socketio.mjs KIND PORT

import { createServer } from "node:http";

import { Server } from "socket.io";

const http = createServer();
const io = new Server(http, { transports: ["websocket"], serveClient: false, perMessageDeflate: false });

io.on("connection", (socket) => {
  socket.on("message", (...args) => socket.emit("message-back", ...args));
  socket.on("join", ({ room }) => socket.join(room));
  socket.on("publish", ({ room, event, data }) => io.to(room).emit(event, data));
});
http.listen({ host: "127.0.0.1", port: Number(process.argv[3]), backlog: 4096 });
