# frozen_string_literal: true

require_relative "checks"
require_relative "transport"

module EventMachine
  module WebSocket
    # Bytes that wait to be written to the client of a {Connection}.
    module Backpressure
      # The default of {#outbound_high_water}, in bytes.
      HIGH_WATER = 64 * 1024

      # Methods that come behind what was sent or look at it, or may give one connection a send_data
      # of its own: each flushes the batch.
      %i[
        close_connection detach get_outbound_data_size reconnect send_file_data signature=
        singleton_class start_tls
      ].each do |name|
        define_method(name) do |*arguments|
          @em_websocket&.flush_batch
          super(*arguments)
        end
      end
      %i[extend singleton_method_added].each do |name|
        define_method(name) do |*arguments|
          @em_websocket&.flush_batch
          super(*arguments).tap { @em_websocket&.changed(self) }
        end
      end
      private :singleton_method_added

      # @example Drop a figure that the next will replace, rather than queue it
      #   ws.send(figure) if ws.buffered_amount.zero?
      # @return [Integer] the bytes that were sent and wait to be written
      def buffered_amount
        get_outbound_data_size
      end

      # @return [Numeric] past how many waiting bytes {#ondrain} will tell that they are down to
      #   half of it
      def outbound_high_water
        @em_websocket&.cold_state&.high_water || HIGH_WATER
      end

      # @param bytes [Numeric, nil] nil: the default
      # @raise [ArgumentError] if it is no number
      def outbound_high_water=(bytes)
        transport = Transport.of(self)
        transport.cold_state!.high_water = Checks.limit(:outbound_high_water, bytes)
        transport.native&.high_water = [outbound_high_water, 1].max if transport.cold_state!.ondrain
      end

      # Called when what waits to be written was more than {#outbound_high_water} and is down to
      # half of it: the time to send more.
      #
      # @example As many lines as the client takes
      #   more = -> { ws.send(lines.next) while ws.buffered_amount <= ws.outbound_high_water }
      #   ws.onopen(&more)
      #   ws.ondrain(&more)
      # @return [Proc] the block
      def ondrain(&block)
        transport = Transport.of(self)
        transport.flush_batch
        transport.cold_state!.ondrain = block
        transport.native&.high_water = block ? [outbound_high_water, 1].max : 0
        block
      end

      # Calls the block of {#ondrain}.
      def trigger_on_drain
        @em_websocket&.cold_state&.ondrain&.call
      end
    end
  end
end
