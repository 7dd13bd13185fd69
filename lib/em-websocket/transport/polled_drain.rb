# frozen_string_literal: true

module EventMachine
  module WebSocket
    module Transport
      # The `ondrain` of a connection whose bytes pass through Ruby.
      #
      # @api private
      module PolledDrain
        # The seconds between looks at whether EventMachine, which does not tell, has written
        # enough.
        DRAIN_POLL_INTERVAL = 0.05
        private_constant :DRAIN_POLL_INTERVAL

        # Looks after what waits, now that something was sent, where the application wants to know.
        def poll_drain(connection)
          return unless @cold_state&.ondrain && !@drain_timer
          return if connection.get_outbound_data_size <= high_water

          @drain_timer = EventMachine::PeriodicTimer.new(DRAIN_POLL_INTERVAL) do
            gone = connection.error?
            if gone || connection.get_outbound_data_size <= high_water / 2
              @drain_timer.cancel
              @drain_timer = nil
              tell_drained(connection) unless gone
            end
          end
        end

        private

        def high_water
          @cold_state&.high_water || Backpressure::HIGH_WATER
        end

        def tell_drained(connection)
          connection.trigger_on_drain
        rescue StandardError => e
          Transport.application_error(connection, e)
        end
      end
    end
  end
end
