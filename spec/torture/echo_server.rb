# frozen_string_literal: true

# Echo servers without and with TLS, compressing, as a program of their
# own. Prints their ports and serves until its standard input ends.
#
#   ruby -Ilib spec/torture/echo_server.rb

require "em-websocket"

module UntilTheEnd
  def unbind = EM.stop
end

def serve(options = {})
  options = { host: "127.0.0.1", port: 0, compression: true, **options }
  signature = EM::WebSocket.run(options) do |ws|
    ws.onmessage { |text| ws.send(text) }
    ws.onbinary { |bytes| ws.send_binary(bytes) }
  end
  Socket.unpack_sockaddr_in(EM.get_sockname(signature)).first
end

EM.run do
  puts([serve, serve(secure: true)].join(" "))
  $stdout.flush
  EM.attach($stdin, UntilTheEnd)
end
