# frozen_string_literal: true

# The server of em-websocket, and of this project: the load path says which of the two it is.
#
#   ruby em_websocket.rb echo|broadcast|count [CERTIFICATE KEY]
#
# With ATTACHED=1 in the environment the sockets are EventMachine's own; with SHARED=1 a broadcast
# is one call, with CHANNEL=1 a publication; TICKS names a file for the times of a 10 ms timer;
# OPTIONS are more options, JSON.

require "em-websocket"
require "em-websocket/version"
require "json"

mode, certificate, key = ARGV
options = { host: "127.0.0.1", port: 0 }
if certificate
  options.update(secure: true, tls_options: { private_key_file: key, cert_chain_file: certificate })
end
options.update(JSON.parse(ENV.fetch("OPTIONS", "{}"), symbolize_names: true))
EM::WebSocket.max_frame_size = 64 * 1024 * 1024

connections = []
behave = {
  "echo" => lambda do |ws|
    ws.onmessage { |message| ws.send(message) }
    ws.onbinary { |message| ws.send_binary(message) }
  end,
  "broadcast" => lambda do |ws|
    if ENV["CHANNEL"]
      ws.onopen { ws.subscribe("all") }
      ws.onmessage { |message| EM::WebSocket.publish("all", message) }
      next
    end
    ws.onopen { connections << ws }
    ws.onclose { connections.delete(ws) }
    if ENV["SHARED"]
      ws.onmessage { |message| EM::WebSocket.broadcast(connections, message) }
    else
      ws.onmessage { |message| connections.each { |connection| connection.send(message) } }
    end
  end,
  "count" => lambda do |ws|
    count = 0
    ws.onmessage { count += 1 }
    ws.onbinary { ws.send(count.to_s) }
  end
}.fetch(mode)

EM.epoll
EM.run do
  server =
    if ENV["ATTACHED"]
      EM.start_server("127.0.0.1", 0, EM::WebSocket::Connection, options, &behave)
    else
      EM::WebSocket.run(options, &behave)
    end
  port, = Socket.unpack_sockaddr_in(EM.get_sockname(server))
  $stdout.puts "#{port} em-websocket #{EventMachine::Websocket::VERSION}"
  $stdout.flush
  if ENV["TICKS"]
    ticks = File.open(ENV["TICKS"], "w")
    EM.add_periodic_timer(0.01) do
      ticks.puts(Process.clock_gettime(Process::CLOCK_MONOTONIC))
      ticks.flush
    end
  end
end
