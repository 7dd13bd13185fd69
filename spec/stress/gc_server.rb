# frozen_string_literal: true

# Echo servers of every kind, in a process that collects garbage at every allocation. Prints their
# ports, in the order of SERVERS, and serves until its standard input ends.

require "em-websocket"

TLS = { private_key_file: ARGV[0], cert_chain_file: ARGV[1] }.freeze

def echo(ws)
  ws.onopen { |handshake| ws.send "#{handshake.path} #{handshake.headers.size}" }
  ws.onmessage { |text| text == "raise" ? raise("mine") : ws.send(text) }
  ws.onbinary { |bytes| ws.send_binary(bytes) }
  ws.onping { |body| ws.send "ping #{body}" }
  ws.onerror { |error| @errors << error.message }
  ws.onclose { |event| @closed << event }
end

def serve(options = {}, &block)
  EM::WebSocket.run({ host: "127.0.0.1", port: 0 }.merge(options)) do |ws|
    echo(ws)
    block&.call(ws)
  end
end

SERVERS = {
  background: -> { serve },
  raw: -> { serve { |ws| ws.define_singleton_method(:receive_data) { |data| super(data) } } },
  tls: -> { serve(secure: true, tls_options: TLS) },
  attached: lambda {
    EM.start_server("127.0.0.1", 0, EM::WebSocket::Connection, {}) { |ws| echo(ws) }
  }
}.freeze

@errors = []
@closed = []

module UntilTheEnd
  def unbind = EM.stop
end

EM.run do
  signatures = SERVERS.values.map(&:call)
  puts(signatures.map { |name| Socket.unpack_sockaddr_in(EM.get_sockname(name)).first }.join(" "))
  $stdout.flush
  EM.attach($stdin, UntilTheEnd)
  EM.next_tick { GC.stress = true }
end

GC.stress = false
puts "#{@errors.tally} #{@closed.size}"
