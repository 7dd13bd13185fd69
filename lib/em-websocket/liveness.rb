# frozen_string_literal: true

require "eventmachine"

module EventMachine
  module WebSocket
    # Whether the client of a {Handler} is still there, and anybody uses the connection:
    # `:ping_interval`, `:ping_timeout` and `:idle_timeout` on EventMachine's own sockets. In the
    # background the native core sees to them.
    #
    # @api private
    class Liveness
      # The body of a ping that the application has not sent, and does not choose for its own by
      # chance; its pong is not told.
      PING = "keepalive #{Random.urandom(8).unpack1("H*")}".freeze

      # An idle connection is found to be so up to this part of its timeout late.
      LOOKS = 8
      private_constant :LOOKS

      # @return [Liveness, nil] nil where the options ask for nothing
      def self.of(handler, connection, options)
        interval = options[:ping_interval]
        idle = options[:idle_timeout]
        pings = interval&.positive? && handler.pingable?
        return unless pings || idle&.positive?

        new(handler, connection).tap do |liveness|
          liveness.ping_every(interval, options[:ping_timeout] || 20) if pings
          liveness.limit_idleness(idle) if idle&.positive?
        end
      end

      def initialize(handler, connection)
        @handler = handler
        @connection = connection
        @messages = 0
        @pings = 0
        @timers = []
      end

      # @param interval [Numeric] seconds from one ping to the next
      # @param timeout [Numeric] seconds in which the client must be heard then; 0: no limit
      def ping_every(interval, timeout)
        @timers << EventMachine::PeriodicTimer.new(interval) do
          ping if @handler.state == :connected
          if timeout.positive?
            @deadline ||= EventMachine::Timer.new(timeout) { @connection.close_connection }
          end
        end
      end

      # @param timeout [Numeric] seconds
      def limit_idleness(timeout)
        looks = 0
        known = @messages
        @timers << EventMachine::PeriodicTimer.new(timeout.to_f / LOOKS) do
          looks = 0 if known != @messages
          known = @messages
          looks += 1
          @handler.close_websocket(1001, "Idle for #{timeout} s") if looks == LOOKS + 1
        end
      end

      # Something was received.
      def heard
        @deadline&.cancel
        @deadline = nil
      end

      # @param body [String] of a pong
      # @return [Boolean] whether it answers a ping of ours, each of which is answered once
      def answered?(body)
        return false unless @pings.positive? && body == PING

        @pings -= 1
        true
      end

      # A message came or went.
      def used
        @messages += 1
      end

      # The connection is gone.
      def cancel
        heard
        @timers.each(&:cancel)
      end

      private

      def ping
        @handler.ping(PING)
        @pings += 1
      end
    end
  end
end
