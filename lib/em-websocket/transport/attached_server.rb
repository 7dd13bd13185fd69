# frozen_string_literal: true

require_relative "../options"

module EventMachine
  module WebSocket
    # The options of servers on EventMachine's own sockets.
    #
    # @api private
    module AttachedServer
      # @param arguments [Array] of EM.start_server or EM.attach_server
      # @raise [ArgumentError] if an option cannot be what it is
      def self.check(arguments)
        index = arguments.index { |one| one.is_a?(Class) && one <= Connection }
        return if index.nil? || index + 1 == arguments.size
        # An initialize of the application's may take anything.
        return unless arguments[index].instance_method(:initialize).owner.equal?(Connection)

        Options.of(arguments[index + 1]).of_attached
      end

      # @param acceptor [Array, nil] as EventMachine keeps it: a class, its arguments and a block
      # @return [Boolean] whether it makes connections of {Connection}
      def self.ours?(acceptor)
        accepted = acceptor&.first
        accepted.is_a?(Class) && accepted <= Connection
      end
    end
  end
end
