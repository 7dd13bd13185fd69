# frozen_string_literal: true

require_relative "transport/background"

module EventMachine
  module WebSocket
    # An end in good order: nobody new, everybody told, what was sent is written.
    #
    # @api private
    class Shutdown
      # RFC 6455 section 7.4.1: "going away".
      GOING_AWAY = 1001

      # @param servers [Array<Background>]
      # @param timeout [Numeric] seconds
      # @param done [Proc, nil]
      def initialize(servers, timeout, done)
        @done = done
        @left = servers.size
        conclude if servers.empty?
        @timer = EventMachine::Timer.new(timeout) { servers.each(&:cut_off) }
        servers.each do |server|
          server.shut_down(GOING_AWAY) do
            @left -= 1
            conclude if @left.zero?
          end
        end
      end

      private

      def conclude
        @timer&.cancel
        @done&.call
      end
    end
  end
end
