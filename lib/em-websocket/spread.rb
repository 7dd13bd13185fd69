# frozen_string_literal: true

require "eventmachine"

module EventMachine
  module WebSocket
    # Steps that are taken one after the other, evenly over some seconds, on the reactor's thread.
    #
    # @api private
    class Spread
      # Time from some steps to the next, in seconds.
      TICK = 0.05

      # @param things [Array]
      # @param seconds [Numeric]
      # @param finished [Proc] called when the time is over
      # @yieldparam thing [Object] in its turn
      def initialize(things, seconds, finished, &step)
        # In another order: things that have come together go at different times.
        @left = things.shuffle
        @finished = finished
        @step = step
        @last = now
        @end = @last + seconds
      end

      # Begins.
      #
      # @return [self]
      def begin
        wait
        self
      end

      # Takes no more steps.
      def cancel
        @timer&.cancel
        @left.clear
      end

      private

      def wait
        @timer = EventMachine::Timer.new([TICK, @end - now].min.clamp(0, TICK)) { go_on }
      end

      def go_on
        due.times { @step.call(@left.pop) }
        return @finished.call if now >= @end

        wait
      end

      # The number of steps that are due. Where the reactor has been busy they are not made up for
      # at once: the rest is a little faster.
      def due
        since = [now - @last, 2 * TICK].min
        left = @end - @last
        @last = now
        share = left <= TICK ? 1 : since / left
        @owed = (@owed || 0) + (@left.size * share)
        steps = [@owed.floor, @left.size].min
        @owed -= steps
        steps
      end

      def now
        Process.clock_gettime(Process::CLOCK_MONOTONIC)
      end
    end
  end
end
