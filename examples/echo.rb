# frozen_string_literal: true

# Sends back whatever it is sent, text as text and binary as binary.
#
#   ruby -Ilib examples/echo.rb [port]      (8080 by default; 0: any free port)
#
# HOST says which of the machine's addresses it listens on: 0.0.0.0 is all, in a container.

require "em-websocket"

$stdout.sync = true

EM.run do
  %w[INT TERM].each { |signal| trap(signal) { EM.stop } }

  host = ENV.fetch("HOST", "127.0.0.1")
  server = EM::WebSocket.run(host: host, port: ARGV[0] || ENV["PORT"] || 8080) do |ws|
    ws.onopen { |handshake| puts "open: #{handshake.path} from #{handshake.origin || "nowhere"}" }
    ws.onmessage { |text| ws.send(text) }
    ws.onbinary { |bytes| ws.send_binary(bytes) }
    ws.onclose { |event| puts "closed: #{event[:code]} #{event[:reason]}".rstrip }
    ws.onerror { |error| puts "error: #{error.message}" }
  end

  port, = Socket.unpack_sockaddr_in(EM.get_sockname(server))
  puts "Echoing on ws://#{host}:#{port}/"
end
