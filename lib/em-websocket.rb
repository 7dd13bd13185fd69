# frozen_string_literal: true

require "eventmachine"
require "socket"

# Applications of em-websocket use Http::Parser without requiring it themselves.
begin
  require "http/parser"
rescue LoadError
  nil
end

if defined?(EventMachine::WebSocket::Connection) && !EventMachine::WebSocket.const_defined?(:Native)
  raise LoadError, "another em-websocket is loaded already: " \
                   "require \"em-websocket-rs\" before \"em-websocket\""
end

# EventMachine itself, whose reactor runs the blocks.
module EventMachine
  # A WebSocket server for EventMachine, native: em-websocket's interface, kept, over a core that
  # reads, checks and writes every frame on its own threads. Blocks run on the reactor's thread.
  module WebSocket
  end
end

require_relative "em-websocket/version"
require_relative "em-websocket/websocket"
require_relative "em-websocket/framing"
