# frozen_string_literal: true

require "eventmachine"

module EventMachine
  module WebSocket
    # The watcher of one server's event queue: EventMachine watches the descriptor that the core
    # makes readable when something has happened, and ends the watch when the reactor ends.
    #
    # @api private
    class QueueWatcher < EventMachine::Connection
      # @param server [BackgroundServer]
      def initialize(server)
        super
        @server = server
      end

      # Drains the queue: something has happened.
      def notify_readable
        @server.drain
      end

      # Stops the server: the reactor ends, or it has been stopped and its last connection is gone.
      def unbind
        @server.stop
      end
    end
  end
end
