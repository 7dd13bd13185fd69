# frozen_string_literal: true

require_relative "../reactor"
require_relative "../transport"
require_relative "polled_timeout"
require_relative "send_progress"

module EventMachine
  module WebSocket
    # Watch over the client of a {Handler}, and over whether anybody uses the connection:
    # `:ping_interval`, `:ping_timeout`, `:idle_timeout` and `:close_timeout` on EventMachine's own
    # sockets. In the background the native core sees to them.
    #
    # As there, silence counts only while the client is read, and only from when what it is to
    # answer has left.
    #
    # @api private
    class Keepalive
      # The body of a ping that the application has not sent, and does not choose for its own by
      # chance; its pong is not told.
      PING = "keepalive #{Random.urandom(8).unpack1("H*")}".freeze

      # @param handler [Handler]
      # @param connection [Connection]
      def initialize(handler, connection)
        @handler = handler
        @connection = connection
        @reads = @messages = @pings = 0
        @timers = {}
      end

      # Begins the timers that the options ask for.
      #
      # @param options [Hash]
      def watch(options)
        interval = options[:ping_interval]
        idle = options[:idle_timeout]
        if interval&.positive? && @handler.pingable?
          ping_every(interval, options[:ping_timeout] || 20)
        end
        limit_idleness(idle) if idle&.positive?
      end

      # @param interval [Numeric] seconds from one ping to the next
      # @param timeout [Numeric] seconds in which the client must be heard then; 0: no limit
      def ping_every(interval, timeout)
        @timers[:ping] = EventMachine::PeriodicTimer.new(interval) do
          ping if @handler.state == :connected
          await_pong(timeout) if timeout.positive?
        end
      end

      # @param timeout [Numeric] seconds
      def limit_idleness(timeout)
        over = -> { @handler.close_unasked(1001, "Idle for #{timeout} s") }
        known = [@messages, @reads]
        outbound = SendProgress.new(@connection)
        @timers[:idle] = PolledTimeout.new(timeout, over) do
          messages, reads = known
          known = [@messages, @reads]
          if messages != @messages
            outbound.sent
            :progress
          elsif paused? || (@handler.amid? && reads != @reads)
            :progress
          else
            outbound.travels? ? :progress : :nothing
          end
        end
      end

      # Limits the time for the answer to our close, which has been sent.
      #
      # @param timeout [Numeric] seconds in which it must be answered
      # @param over [Proc]
      def await_close(timeout, over)
        read_on
        outbound = SendProgress.new(@connection)
        @timers[:close] = PolledTimeout.new(timeout, over) do |step|
          is_late = !Transport.socket?(@connection) || outbound.late?(step)
          # It may have been paused since.
          read_on || !is_late ? :progress : :nothing
        end
      end

      # Notes that something was received.
      def record_read
        @reads += 1
      end

      # @param body [String] of a pong
      # @return [Boolean] whether it answers a ping of ours, each of which is answered once
      def answered?(body)
        return false unless @pings.positive? && body == PING

        @pings -= 1
        true
      end

      # Notes that a message came or went.
      def record_message
        @messages += 1
      end

      # Stops: the connection is gone.
      def cancel
        @timers.each_value(&:cancel)
        @timers.clear
      end

      private

      def await_pong(timeout)
        return if @timers.key?(:pong)

        known = @reads
        outbound = SendProgress.new(@connection)
        over = -> { @connection.close_connection }
        # A pong that is on its way when the time is up still counts.
        @timers[:pong] = PolledTimeout.new(timeout * 1.25, over) do |step|
          if known == @reads
            paused? || !outbound.late?(step) ? :progress : :nothing
          else
            @timers.delete(:pong).cancel
          end
        end
      end

      def paused?
        Transport.socket?(@connection) && @connection.paused?
      end

      # Goes on reading: nobody could see the answer of a client that is not read.
      def read_on
        @connection.resume && true if paused?
      end

      def ping
        @handler.ping(PING)
        @pings += 1
      end
    end
  end
end
