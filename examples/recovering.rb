# frozen_string_literal: true

# A channel whose clients miss nothing while their connections are lost: each message says where it
# stands, and who comes back says how far it has come. recovering.js is the client.
#
#   ruby -Ilib examples/recovering.rb [port]      (8080 by default; 0: any free port)

require "em-websocket"
require "json"

$stdout.sync = true

CHANNEL = "news"

EM::WebSocket.channels { history CHANNEL, size: 1_000, ttl: 300, envelope: true }

# Subscribes: whoever comes back is sent what it has missed, and after that is told so. Who is new,
# or was gone for too long, begins with what is kept.
def begin_with(ws, since)
  recovered = false
  position = ws.subscribe(CHANNEL, since: since) { |whether| recovered = whether }
  # All that is published here is published on this thread, so nothing is between these two.
  kept = EM::WebSocket.history(CHANNEL).map { |_, message| message } unless recovered
  ws.send(JSON.generate(recovered: recovered, position: position, kept: kept))
  puts "#{recovered ? "came back" : "began"}: #{position}"
end

EM.run do
  %w[INT TERM].each { |signal| trap(signal) { EM.stop } }

  # A client whose network is gone is found out by a ping, and comes back by itself.
  server = EM::WebSocket.run(host: "127.0.0.1", port: ARGV[0] || ENV["PORT"] || 8080,
                             ping_interval: 20) do |ws|
    ws.onopen { |handshake| begin_with(ws, handshake.query["since"]) }
    ws.onmessage { |text| EM::WebSocket.publish(CHANNEL, text) }
  end

  port, = Socket.unpack_sockaddr_in(EM.get_sockname(server))
  puts "News on ws://127.0.0.1:#{port}/"
end
