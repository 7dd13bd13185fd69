# frozen_string_literal: true

module EventMachine
  module WebSocket
    module Transport
      # The state that few connections have.
      class Rare
        # @return [Proc, nil] the block of {Connection#onrequest}
        attr_accessor :onrequest

        # @return [Admission, nil] the decision that is being made
        attr_accessor :admission

        # @return [Proc, nil] the block of {Connection#ondrain}
        attr_accessor :ondrain

        # @return [Integer, nil] see {Connection#outbound_high_water}
        attr_accessor :high_water

        # @return [Integer, nil] see {Connection#max_message_size=}
        attr_accessor :max_message_size

        # @return [Options, nil] where they are not the server's
        attr_accessor :options

        # @return [Float, nil] see {BackgroundMethods#pending_connect_timeout=}
        attr_accessor :pending_connect_timeout
      end

      # The methods that both transports have.
      module Both
        # @return [Rare] made when it is first asked for
        def rare
          @rare ||= Rare.new
        end

        # @return [Rare, nil] where it has been made
        def known_rare
          @rare
        end

        # @param frame [Integer] the longest frame
        # @return [Numeric] the longest message, as {Connection#max_message_size}
        def longest_message(connection, frame)
          @rare&.max_message_size || configured_message(connection) ||
            [WebSocket.max_message_size, frame].max
        end

        # The application does not decide any more: the client is gone, or its time is up.
        def withdraw
          @rare&.admission&.withdraw
        end
      end
    end
  end
end
