# frozen_string_literal: true

require "eventmachine"

module EventMachine
  module WebSocket
    # Where the background meets the reactor: EventMachine watches the descriptor that the
    # background sets when something has happened, and ends it when the reactor ends.
    #
    # @api private
    class Reactor < EventMachine::Connection
      # @param background [Background]
      def initialize(background)
        super
        @background = background
      end

      # Something has happened.
      def notify_readable
        @background.drain
      end

      # The reactor ends, or the server has been stopped and its last connection is gone.
      def unbind
        @background.ended
      end
    end
  end
end
