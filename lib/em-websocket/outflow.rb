# frozen_string_literal: true

module EventMachine
  module WebSocket
    # What waits to be written to the client of a {Connection}.
    module Outflow
      # The default of {#outbound_high_water}, in bytes.
      HIGH_WATER = 64 * 1024

      # How often EventMachine, which does not tell, is asked, in seconds.
      LOOK = 0.05
      private_constant :LOOK

      # @return [Integer] the bytes that were sent and wait to be written
      def buffered_amount
        get_outbound_data_size
      end

      # @return [Integer] past how many waiting bytes {#ondrain} will tell that they are down to
      #   half of it
      def outbound_high_water
        @outbound_high_water || HIGH_WATER
      end

      # @param bytes [Integer]
      def outbound_high_water=(bytes)
        @outbound_high_water = bytes
        @native.high_water = bytes if @native && @ondrain
      end

      # Called when what waits to be written was more than {#outbound_high_water} and is down to
      # half of it: the time to send more.
      #
      # @return [Proc] the block
      def ondrain(&block)
        @ondrain = block
        @native&.high_water = block ? outbound_high_water : 0
        block
      end

      # Calls the block of {#ondrain}.
      def trigger_on_drain
        @ondrain&.call
      end

      private

      # For a socket of EventMachine's.
      def watch_outflow
        return if @ondrain.nil? || @outflow || buffered_amount <= outbound_high_water

        @outflow = EventMachine::PeriodicTimer.new(LOOK) do
          if error? || buffered_amount <= outbound_high_water / 2
            @outflow.cancel
            @outflow = nil
            tell_drained unless error?
          end
        end
      end

      def tell_drained
        trigger_on_drain
      rescue StandardError => e
        application_error(e)
      end
    end
  end
end
