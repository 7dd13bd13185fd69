# frozen_string_literal: true

require_relative "overrides"

module EventMachine
  module WebSocket
    # Prints what happens, where `:debug` asks for it.
    module Debugger
      # Tells a connection's own `debug`, or prints.
      #
      # @api private
      # @param connection [Connection]
      # @param what [Array] what happened, and to what
      def self.tell(connection, what)
        own = Overrides.debugger(connection)
        if own
          own.call(what)
        elsif Transport.get(connection, :@debug)
          print([what])
        end
      end

      # Prints what happens.
      #
      # @api private
      # @param data [Array] what happened, and to what
      def self.print(data)
        pp(data)
        puts
      end

      private

      # @param data [Array] what happened, and to what
      def debug(*data)
        Debugger.print(data) if @debug
      end
    end
  end
end
