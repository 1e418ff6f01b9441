// Socket.IO over its WebSocket transport: a broadcast by its emit.
//
// usage: node socketio.mjs fanout PORT

import { createServer } from "node:http";

import { Server } from "socket.io";

const http = createServer();
const io = new Server(http, { transports: ["websocket"], serveClient: false });

io.on("connection", (socket) => {
  socket.on("message", (message) => io.emit("message", message));
});
http.listen({ host: "127.0.0.1", port: Number(process.argv[3]), backlog: 4096 });
