# frozen_string_literal: true

# The server that is audited: the library's defaults, and this key. Prints its port and serves
# until its standard input ends.
#
#   ruby -Ilib spec/tls_audit/server.rb KEY_FILE CHAIN_FILE

require "em-websocket"

module UntilTheEnd
  def unbind = EM.stop
end

key_file, chain_file = ARGV
tls_options = { private_key_file: key_file, cert_chain_file: chain_file }

EM.run do
  options = { host: "127.0.0.1", port: 0, secure: true, tls_options: tls_options }
  server = EM::WebSocket.run(options) do |ws|
    ws.onmessage { |text| ws.send(text) }
    # What the audit sends is no WebSocket handshake; anything else is a defect.
    ws.onerror { |error| error.is_a?(EM::WebSocket::WebSocketError) || raise(error) }
  end
  puts Socket.unpack_sockaddr_in(EM.get_sockname(server)).first
  $stdout.flush
  EM.attach($stdin, UntilTheEnd)
end
