# frozen_string_literal: true

require_relative "spread"

require_relative "reactor"

module EventMachine
  module WebSocket
    # An end in good order: nobody new, everybody told, what was sent is written. Several may be
    # under way at a time: each has its own block, and the shortest time holds.
    #
    # @api private
    class Shutdown
      # RFC 6455 section 7.4.1: "going away".
      GOING_AWAY = 1001

      # IANA's registry of RFC 6455 section 11.7: "service restart".
      RESTART = 1012

      # @param servers [Array<BackgroundServer>]
      # @param timeout [Numeric] seconds
      # @param delay [Numeric] seconds in which only health checks are told
      # @param within [Numeric, nil] seconds over which clients are told that this is a restart;
      #   nil: all are told at once that the server goes away
      # @param done [Proc, nil]
      def initialize(servers, timeout, delay, within, done)
        @servers = servers
        @timeout = timeout
        @delay = delay
        @within = within
        # Whatever thread the last server ends on, a Queue gives each thing once. It takes no lock
        # that a signal handler could not.
        @left = Thread::Queue.new
        servers.each { @left << :server }
        @done = Thread::Queue.new << (done || proc {})
      end

      # Begins; from any thread.
      #
      # @return [self]
      def begin
        @servers.each do |server|
          server.drain_soon
          server.on_stopped { gone }
        end
        Reactor.schedule { @servers.empty? ? finish : wait }
        self
      end

      private

      def wait
        return tell unless @delay.positive?

        @timer = EventMachine::Timer.new(@delay) { tell }
      end

      def tell
        return if @done.empty?
        return tell_all(GOING_AWAY) unless @within

        here = @servers.flat_map { |server| server.restart.map { |client| [server, client] } }
        finished = proc { tell_all(RESTART) }
        @timer = Spread.new(here, @within, finished) do |server, client|
          server.close_one(client, RESTART)
        end
        @timer.begin
      end

      def tell_all(code)
        @timer = EventMachine::Timer.new(@timeout) { @servers.each(&:abort_all) }
        @servers.each { |server| server.shut_down(code) }
      end

      def gone
        @left.pop(true)
        finish if @left.empty?
      end

      def finish
        done = @done.pop(true)
      rescue ThreadError
        nil # Two have seen that nothing is left.
      else
        @timer&.cancel
        done.call
      end
    end
  end
end
