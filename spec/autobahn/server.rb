# frozen_string_literal: true

# The echo server that Autobahn|Testsuite tries. Prints its port and serves until its standard
# input ends.
#
#   ruby -Ilib spec/autobahn/server.rb [--tls] [--attached]

require "em-websocket"
require_relative "../support/certificate"

# The longest messages are of 16 MiB, in group 9.
LIMIT = 20 * 1024 * 1024
EM::WebSocket.max_frame_size = LIMIT
EM::WebSocket.max_message_size = LIMIT

module UntilTheEnd
  def unbind = EM.stop
end

def echo(ws)
  ws.onmessage { |text| ws.send(text) }
  ws.onbinary { |bytes| ws.send_binary(bytes) }
  # What the client did wrong is what the test suite is about; anything else is a defect.
  ws.onerror { |error| error.is_a?(EM::WebSocket::WebSocketError) || raise(error) }
end

def listen(options)
  return EM::WebSocket.run(options, &method(:echo)) unless ARGV.include?("--attached")

  EM.start_server(
    options[:host], options[:port], EM::WebSocket::Connection, options, &method(:echo)
  )
end

options = { host: "127.0.0.1", port: 0, compression: true }
options.merge!(secure: true, tls_options: Certificate.tls_options) if ARGV.include?("--tls")

EM.epoll
EM.run do
  puts Socket.unpack_sockaddr_in(EM.get_sockname(listen(options))).first
  $stdout.flush
  EM.attach($stdin, UntilTheEnd)
end
