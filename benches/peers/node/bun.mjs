// Bun's own server (uWebSockets inside): echo, with or without its shared compressor, and a broadcast by its publish.
//
// usage: bun bun.mjs echo|deflate|fanout PORT

const [kind, port] = process.argv.slice(2);
const isDeflating = kind === "deflate";
const isFanout = kind === "fanout";
const topic = "all";

const server = Bun.serve({
  hostname: "127.0.0.1",
  port: Number(port),
  fetch(request, server) {
    if (!server.upgrade(request)) return new Response("a WebSocket is wanted", { status: 426 });
  },
  websocket: {
    perMessageDeflate: isDeflating ? { compress: "shared", decompress: "shared" } : false,
    maxPayloadLength: 1024 * 1024,
    // Its default would drop messages of the test.
    backpressureLimit: 16 * 1024 * 1024,
    open(socket) {
      if (isFanout) socket.subscribe(topic);
    },
    message(socket, message) {
      if (isFanout) server.publish(topic, message);
      else socket.send(message, isDeflating);
    },
  },
});
