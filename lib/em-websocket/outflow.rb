# frozen_string_literal: true

require_relative "checks"

module EventMachine
  module WebSocket
    # What waits to be written to the client of a {Connection}.
    module Outflow
      # The default of {#outbound_high_water}, in bytes.
      HIGH_WATER = 64 * 1024

      # How often EventMachine, which does not tell, is asked, in seconds.
      LOOK = 0.05
      private_constant :LOOK

      # What comes behind what was sent or looks at it, and what may give one connection a send_data
      # of its own: each ends the gathering.
      %i[
        close_connection detach extend get_outbound_data_size reconnect send_file_data signature=
        singleton_class singleton_method_added start_tls
      ].each do |name|
        define_method(name) do |*arguments|
          @corked&.uncork
          super(*arguments)
        end
      end
      private :singleton_method_added

      # @return [Integer] the bytes that were sent and wait to be written
      def buffered_amount
        get_outbound_data_size
      end

      # @return [Numeric] past how many waiting bytes {#ondrain} will tell that they are down to
      #   half of it
      def outbound_high_water
        @outbound_high_water || HIGH_WATER
      end

      # @param bytes [Numeric, nil] nil: the default
      # @raise [ArgumentError] if it is no number
      def outbound_high_water=(bytes)
        @outbound_high_water = Checks.limit(:outbound_high_water, bytes)
        @native.high_water = [outbound_high_water, 1].max if @native && @ondrain
      end

      # Called when what waits to be written was more than {#outbound_high_water} and is down to
      # half of it: the time to send more.
      #
      # @return [Proc] the block
      def ondrain(&block)
        @corked&.uncork
        @ondrain = block
        @native&.high_water = block ? [outbound_high_water, 1].max : 0
        block
      end

      # Calls the block of {#ondrain}.
      def trigger_on_drain
        @ondrain&.call
      end

      # Ends the gathering, for whoever reaches the socket by its signature.
      #
      # @api private
      def hand_over
        @corked&.uncork
      end

      private

      # On a socket of EventMachine's: what is sent from now on is gathered, if nobody can see that.
      # EventMachine writes nothing before the read is told.
      #
      # @return [Boolean]
      def cork(protocol)
        return false if @corked || !corks?

        # In this order, and the other way round at the end: other threads send meanwhile.
        @corked = protocol
        protocol.cork(@signature)
        true
      end

      def uncork(protocol)
        protocol.uncork
      ensure
        @corked = nil
      end

      # Not where each single frame counts, nor in a fiber (which a callback may leave, and
      # EventMachine goes on).
      def corks?
        @native.nil? && @outbound_limit&.zero? && @ondrain.nil? && @signature.is_a?(Integer) &&
          EventMachine.reactor_thread? && Fiber.blocking? && Overrides.sender?(self)
      end

      # For a socket of EventMachine's.
      def watch_outflow
        return if @outflow || buffered_amount <= outbound_high_water

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
