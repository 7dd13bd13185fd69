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

module EventMachine
  # A WebSocket server for EventMachine, native: em-websocket's interface, kept, over a core that
  # reads, checks and writes every frame on its own threads. Blocks run on the reactor's thread.
  module WebSocket
  end
end

require_relative "em-websocket/version"
require_relative "em-websocket/errors"
require_relative "em-websocket/native"
require_relative "em-websocket/debugger"
require_relative "em-websocket/handshake"
require_relative "em-websocket/handler"
require_relative "em-websocket/overrides"
require_relative "em-websocket/connection"
require_relative "em-websocket/reactor"
require_relative "em-websocket/transport/background"
require_relative "em-websocket/websocket"
