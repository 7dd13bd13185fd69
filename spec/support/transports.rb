# frozen_string_literal: true

# The ways in which the bytes of a connection come, for examples that hold for each of them.
module Transports
  ALL = {
    background: "in the background", raw: "whose bytes pass through Ruby",
    attached: "on EventMachine's own socket"
  }.freeze

  # A hook that keeps the background from reading.
  PASSED_THROUGH = Module.new { define_method(:receive_data) { |data| super(data) } }

  # A server of connections of one kind; a class of the application's only where EventMachine is
  # given it.
  def serve_by(transport, options = {}, connection_class = EM::WebSocket::Connection, &accept)
    accepted = lambda do |ws|
      Kernel.instance_method(:extend).bind_call(ws, PASSED_THROUGH) if transport == :raw
      accept&.call(ws)
    end
    attached = connection_class if transport == :attached
    server = Server.new(options, attached, events, &accepted)
    started(server.reactor)
    @server = server
  end
end

RSpec.configure { |config| config.include(Transports) }
