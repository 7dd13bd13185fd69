# frozen_string_literal: true

# faye-websocket on thin: ruby faye.rb echo|broadcast|count [CERTIFICATE KEY]

require "faye/websocket"
require "thin"

Faye::WebSocket.load_adapter("thin")
Thin::Logging.silent = true

mode, certificate, key = ARGV
connections = []
behave = {
  "echo" => lambda do |ws|
    ws.on(:message) { |event| ws.send(event.data) }
  end,
  "broadcast" => lambda do |ws|
    connections << ws
    ws.on(:close) { connections.delete(ws) }
    ws.on(:message) { |event| connections.each { |connection| connection.send(event.data) } }
  end,
  "count" => lambda do |ws|
    count = 0
    ws.on(:message) { |event| event.data.is_a?(String) ? count += 1 : ws.send(count.to_s) }
  end
}.fetch(mode)

application = lambda do |env|
  # Like the others, it takes messages of any length and offers no extension.
  ws = Faye::WebSocket.new(env, nil, max_length: 64 * 1024 * 1024)
  behave.call(ws)
  ws.rack_response
end

EM.epoll
EM.run do
  server = Thin::Server.new("127.0.0.1", 0, application, signals: false)
  if certificate
    server.ssl = true
    server.ssl_options = { private_key_file: key, cert_chain_file: certificate }
  end
  server.start
  signature = server.backend.instance_variable_get(:@signature)
  port, = Socket.unpack_sockaddr_in(EM.get_sockname(signature))
  version = Gem::Specification.find_by_name("faye-websocket").version
  $stdout.puts "#{port} faye-websocket #{version}"
  $stdout.flush
end
