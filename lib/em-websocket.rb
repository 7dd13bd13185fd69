# frozen_string_literal: true

require "eventmachine"
require "socket"

module EventMachine
  # A WebSocket server for EventMachine, native: em-websocket's interface, kept, over a core that
  # reads, checks and writes every frame on its own threads. Blocks run on the reactor's thread.
  module WebSocket
  end
end

require "em-websocket/version"
require "em-websocket/errors"
require "em-websocket/native"
require "em-websocket/debugger"
require "em-websocket/handshake"
require "em-websocket/handler"
require "em-websocket/overrides"
require "em-websocket/connection"
require "em-websocket/reactor"
require "em-websocket/transport/background"
require "em-websocket/websocket"
