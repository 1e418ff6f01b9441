// uWebSockets itself, in C++: echo, with or without its shared compressor, and a broadcast by its own publish.
//
// The library is compiled from the sources that the crate libuwebsockets-sys carries (see Cargo.toml), with the flags of its
// own makefiles. Limits are Tidegate's where the library's own would drop messages of the test.
//
// usage: uws echo|deflate|fanout PORT

#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "App.h"

namespace {

struct PerSocketData {};
using WebSocket = uWS::WebSocket<false, true, PerSocketData>;

constexpr unsigned kMessageBytesMax = 1024 * 1024;
constexpr unsigned kBackpressureBytesMax = 16 * 1024 * 1024;
constexpr std::string_view kTopic = "all";

int Serve(std::string_view kind, int port) {
  const bool is_deflating = kind == "deflate", is_fanout = kind == "fanout";
  uWS::App app;
  app.ws<PerSocketData>("/*", {
      .compression = is_deflating ? uWS::CompressOptions(uWS::SHARED_COMPRESSOR | uWS::SHARED_DECOMPRESSOR) : uWS::DISABLED,
      .maxPayloadLength = kMessageBytesMax,
      .idleTimeout = 120,
      .maxBackpressure = kBackpressureBytesMax,
      .open = [is_fanout](WebSocket *ws) {
        if (is_fanout) ws->subscribe(kTopic);
      },
      .message = [&app, is_fanout, is_deflating](WebSocket *ws, std::string_view message, uWS::OpCode code) {
        if (is_fanout) {
          app.publish(kTopic, message, code);
        } else {
          ws->send(message, code, is_deflating);
        }
      },
  });
  bool is_listening = false;
  app.listen("127.0.0.1", port, [&](us_listen_socket_t *socket) { is_listening = socket != nullptr; });
  if (!is_listening) {
    std::fprintf(stderr, "uws: cannot listen on port %d\n", port);
    return 1;
  }
  app.run();
  return 0;
}

}  // namespace

int main(int argc, char **argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: uws echo|deflate|fanout PORT\n");
    return 2;
  }
  return Serve(argv[1], std::atoi(argv[2]));
}
