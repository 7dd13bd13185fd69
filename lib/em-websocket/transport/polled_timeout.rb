# frozen_string_literal: true

require "eventmachine"
require_relative "../checks"

module EventMachine
  module WebSocket
    # A limited time on EventMachine's clock, of a connection whose socket is EventMachine's. It is
    # looked at now and then: time in which the reactor was busy does not count, for nothing was
    # read in it.
    #
    # @api private
    class PolledTimeout
      # A limited time is looked at so often before it is over.
      CHECKS_PER_TIMEOUT = 8

      # EventMachine's clock is about as coarse as this, in seconds.
      CLOCK_RESOLUTION = 0.1
      private_constant :CHECKS_PER_TIMEOUT, :CLOCK_RESOLUTION

      # @param seconds [Numeric]
      # @param over [Proc] called once, when the time is over
      # @yieldparam step [Float] seconds from one look to the next
      # @yieldreturn [Symbol] what a look has found: `:nothing`; `:suspended`, and the time since
      #   the last look does not count; `:progress`, and all of the time is left again
      def initialize(seconds, over, &check)
        @step = Checks.timer(seconds.to_f / CHECKS_PER_TIMEOUT)
        @over = over
        @check = check
        @checks = 0
        wait
      end

      # The time is not over, and never will be.
      def cancel
        @timer&.cancel
        @timer = nil
      end

      private

      def wait
        due = now + @step
        @timer = EventMachine::Timer.new(@step) { check(now - due) }
      end

      def check(late)
        found = @check.call(@step)
        # It comes before what the client has sent meanwhile.
        found = :suspended if found == :nothing && late > [@step, CLOCK_RESOLUTION].max
        case found
        when :nothing then @checks += 1
        when :progress then @checks = 0
        end
        return unless @timer

        @checks < CHECKS_PER_TIMEOUT ? wait : @over.call
      end

      def now
        Process.clock_gettime(Process::CLOCK_MONOTONIC)
      end
    end
  end
end
